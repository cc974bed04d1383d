//! The client library against running programs: what it builds is executed, what
//! it estimates is measured, what it writes is what nodes read.
//!
//! Runs on the stand-in klend, and on the real one with `KLEND_ELF` and
//! `FARMS_ELF` set.

mod ends;
mod formats;
mod largest;
mod scene;
mod stand_in;
mod tables;
mod whole;
