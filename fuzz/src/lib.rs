//! Whatever reads bytes from outside, given any bytes: none may panic, and what is read
//! must be what is there.
//!
//! A target is a function of bytes. libFuzzer drives it, guided by the coverage of this
//! workspace's own code (`cargo xtask fuzz`); `cargo test` plays its seeds and what comes
//! of changing them. A finding is a file: give it to the target's binary, or put it among
//! the seeds.

pub mod arguments;
mod dice;
pub mod jupiter;
pub mod klend;
pub mod logs;
pub mod patches;
pub mod pools;
pub mod sysvar;
pub mod websocket;

use std::{env, fs, path::PathBuf};

pub use dice::Dice;

/// A target's name, which is that of its seeds' folder, and the target.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("arguments", arguments::run),
    ("jupiter", jupiter::run),
    ("klend", klend::run),
    ("logs", logs::run),
    ("pools", pools::run),
    ("sysvar", sysvar::run),
    ("websocket", websocket::run),
];

/// Where a target's seeds are.
#[must_use]
pub fn seeds(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Gives the files that the command line names to a target.
///
/// # Panics
/// When one cannot be read, and as the target does.
pub fn replay(target: fn(&[u8])) {
    for path in env::args().skip(1) {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        target(&bytes);
        println!("{path}: fine");
    }
}

/// The binary of a target: libFuzzer's, or one that plays files again.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(feature = "libfuzzer")]
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name::run(data));

        #[cfg(not(feature = "libfuzzer"))]
        fn main() {
            $crate::replay($crate::$name::run);
        }
    };
}

#[cfg(feature = "libfuzzer")]
pub use libfuzzer_sys;
