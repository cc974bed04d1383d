//! The page in a browser, where Chromium is installed.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, stream::MaybeTlsStream};

use crate::{folder_arg, obligations, watch::Watch};

/// Chromium without a window, driven by its DevTools protocol.
struct Browser {
    child: Child,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    calls: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start(chromium: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = |line: std::io::Result<String>| {
            line.ok()?.strip_prefix("DevTools listening on ").map(str::to_owned)
        };
        let url = lines.into_iter().find_map(listens).expect("Chromium listens");
        let (socket, _) = tungstenite::connect(url).unwrap();
        Self { child, socket, session: None, calls: 0, _profile: profile }
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut request = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(request.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == self.calls {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    fn open(&mut self, url: &str) {
        let target = self.call("Target.createTarget", &json!({ "url": url }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", &attach);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
    }

    /// What an expression is, as text.
    fn evaluate(&mut self, expression: &str) -> String {
        let params = json!({ "expression": expression, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", &params);
        let value = &answer["result"]["value"];
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    fn resize(&mut self, width: u64) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": true });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// The paper's colour for who prefers it dark, or light.
    fn color(&mut self, dark: bool) -> String {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
        self.evaluate("getComputedStyle(document.body).backgroundColor")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chromium() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        let asked = Command::new(name).arg("--version").stdout(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    })
}

#[test]
fn the_page_is_live_in_a_browser_and_breaks_no_policy() {
    let Some(chromium) = chromium() else {
        eprintln!("skipped: Chromium is not installed");
        return;
    };
    let (at_risk, careful) = obligations();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "metrics = \"127.0.0.1:0\"\nledger = {:?}\npoll_ms = 50\ncooldown_seconds = 600\n",
        folder.path().join("keeper.db")
    );
    let mut watch = Watch::start(&config, &["--fork", folder_arg()]);
    let address = watch.wait_for("metrics are served")["address"].as_str().unwrap().to_owned();
    watch.wait_for("liquidated");
    let mut browser = Browser::start(chromium);
    browser.open(&format!("http://{address}/"));
    let begun = Instant::now();
    let page = loop {
        // The first state comes with the page, later ones by events.
        let page = browser.evaluate("document.documentElement.outerHTML");
        if page.contains("data-live=\"yes\"") && page.contains("simulated") {
            break page;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{page}");
        std::thread::sleep(Duration::from_millis(200));
    };
    for key in [&at_risk, &careful] {
        assert!(page.contains(&format!("title=\"{key}\"")), "{page}");
    }
    assert!(page.contains("stand_in"), "{page}");
    // What the policy forbids does not happen, and nothing of the page needs it.
    let forbidden = "fetch('https://example.org/').then(() => 'came', () => 'refused')";
    assert_eq!(browser.evaluate(forbidden), "refused");
    // However narrow, only tables are wider than the window.
    for width in [320, 1_600] {
        browser.resize(width);
        let wide = browser.evaluate("document.documentElement.scrollWidth");
        assert_eq!(wide, browser.evaluate("window.innerWidth"), "at {width}");
    }
    let dark = browser.color(true);
    assert_ne!(dark, browser.color(false));
    watch.stop();
}
