//! Who can be liquidated, and who is tried next.
//!
//! * [`tracker`]: a market's obligations, valued again only where a change can
//!   matter.
//! * `shares`: what of its health each reserve has, so that few are valued.
//! * [`state`]: a market with its tracker. Old and repeated updates fall out here.
//! * [`policy`]: whom the operator wants.
//! * [`queue`], [`cooldown`], [`flights`]: what is worth trying, what was tried
//!   lately, what is being tried.

use klend_model::fraction::Fraction;

pub mod cooldown;
pub mod flights;
pub mod policy;
pub mod queue;
mod shares;
pub mod state;
pub mod tracker;

/// A signed value in units of 2⁻⁶⁰.
pub(crate) fn value_f64(bits: i128) -> f64 {
    let magnitude = Fraction::from_bits(bits.unsigned_abs()).to_f64();
    if bits < 0 { -magnitude } else { magnitude }
}
