//! The loop of `keeper watch`, in parts that can be looked at alone:
//!
//! * [`feed`]: where updates come from (a websocket, Yellowstone gRPC), with
//!   reconnecting; while there is none, [`reader`] polls.
//! * [`state`]: the newest of every account. Old and repeated updates fall out
//!   here.
//! * [`queue`], [`cooldown`], [`flights`]: what is worth trying, what was tried
//!   lately, what is being tried.
//! * [`engine`]: all of them together.

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
