//! The keeper's reader of what a node says on a websocket.

use klend_flash_keeper::feeds::updates_in;

/// Messages, one a line.
pub fn run(bytes: &[u8]) {
    if let Ok(said) = core::str::from_utf8(bytes) {
        // An error ends the connection; that is all it may do.
        let _ = updates_in(said);
    }
}
