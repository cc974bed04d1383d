//! What the loop waits for.

use anyhow::Result;
use flash_liquidator_client::swap::jupiter::{Ask, JupiterRoute};

use super::worker::Ended;
use crate::{
    build::plan::Plan,
    feeds::{feed::Update, jupiter::Trouble},
    reader::Found,
    recording::told::Told,
};

/// What the loop waits for.
pub(super) enum Event {
    /// From the feed of this number.
    Fed(u64, Update),
    /// What a reader found; and once more, where it is recorded.
    Found(Found, Option<Box<Told>>),
    /// Of the aggregator.
    Offered(Box<(Ask, Result<JupiterRoute, Trouble>)>),
    Done(Box<Plan>, Ended),
}
