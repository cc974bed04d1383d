//! The loop of `keeper watch`, in parts that can be looked at alone:
//!
//! * [`feed`]: where updates come from (a websocket, Yellowstone gRPC), with
//!   reconnecting; while there is none, [`reader`] polls.
//! * [`state`]: the newest of every account. Old and repeated updates fall out
//!   here.
//! * [`queue`], [`cooldown`], [`flights`]: what is worth trying, what was tried
//!   lately, what is being tried.
//! * [`engine`]: all of them together.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};

pub mod cooldown;
pub(crate) mod engine;
pub mod feed;
pub mod flights;
pub mod queue;
pub(crate) mod reader;
pub(crate) mod state;
pub(crate) mod websocket;
#[cfg(feature = "yellowstone")]
pub(crate) mod yellowstone;

/// Does `work` of a thread that others wait for: a panic becomes an error that tells
/// them so, in place of silence. (Built to abort on panics, the process ends.)
pub(crate) fn told<T>(who: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a panic left behind is not used: the work's captures are read only, or
    // made anew with the next work.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(anyhow!("{who} broke down")))
}
