//! Between a keeper and its node: everything that nodes, providers and the way to them
//! have been seen to do wrong, on demand. The keeper's tests and `cargo xtask soak` use it.
//!
//! * [`proxy`]: JSON-RPC over HTTP;
//! * [`socket`]: subscriptions over a websocket;
//! * [`geyser`]: subscriptions by Yellowstone gRPC;
//! * [`http`]: as much of an HTTP server and client as they need.
//!
//! Threads end with the process.

pub mod geyser;
pub mod http;
pub mod proxy;
pub mod socket;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// The slot of a node that has lost its mind.
pub const FAR_FUTURE: u64 = 1 << 63;

/// Rewrites an answer as somebody does who passes it on by JavaScript and adds to it.
pub fn in_dialect(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(in_dialect),
        Value::Object(fields) => {
            if let Some(epoch) = fields.get_mut("rentEpoch") {
                *epoch = json!(1.844_674_407_370_955_2e19);
                fields.insert("hash".to_owned(), json!(null));
            }
            if fields.contains_key("slot") {
                fields.insert("apiVersion".to_owned(), json!("4.2.2"));
            }
            fields.values_mut().for_each(in_dialect);
        }
        _ => {}
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
