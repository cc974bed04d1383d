//! The loop of `keeper watch`: [`engine`] puts the layers together.

pub(crate) mod engine;
