//! How updates and reads come, whatever they mean.
//!
//! * [`source`]: accounts by request, from a node, a folder or the built-in fork.
//! * [`feed`]: account updates as they happen, by a websocket or by Yellowstone
//!   gRPC, with reconnecting.
//! * [`horizon`]: which slots are believed.
//! * [`blockhash`]: what a node gives as one, and how long it is good for.
//! * `inclusion`: services that tell what tips are at.
//! * [`jupiter`]: routes of an aggregator.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};

pub mod blockhash;
pub mod feed;
pub mod horizon;
pub mod inclusion;
pub mod jupiter;
pub mod source;
pub mod websocket;
#[cfg(feature = "yellowstone")]
pub mod yellowstone;

// For fuzzing: nothing else outside hears a node.
#[doc(hidden)]
pub use websocket::updates_in;

/// Does `work` of a thread that others wait for: a panic becomes an error that tells
/// them so, in place of silence. In a keeper that was built to abort on panics, which
/// `watch` warns of, the process ends.
pub(crate) fn told<T>(who: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a panic left behind is not used: the work's captures are read only, or
    // made anew with the next work.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(anyhow!("{who} broke down")))
}
