"use strict";
const page = document.getElementById("page");
const events = new EventSource("/events");
events.addEventListener("page", (event) => {
  page.innerHTML = event.data;
  page.classList.remove("lost");
  document.documentElement.dataset.live = "yes";
});
// What is old looks old. The browser tries again by itself.
events.addEventListener("error", () => page.classList.add("lost"));
