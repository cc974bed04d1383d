//! The protoc on the PATH (Debian: `protobuf-compiler`).

use std::path::PathBuf;

/// The compiler.
#[must_use]
pub fn protoc() -> PathBuf {
    "protoc".into()
}
