//! The loop of `keeper watch`: it puts the layers together.
//!
//! * [`engine`]: the turns of the loop, and what it knows.
//! * [`intake`]: what feeds tell, taken into the book account by account.
//! * `answers`: what readers found.
//! * `wants`: what both are asked for, and when.
//! * `scout`: what obligations near their limit need, found out a few at a time.
//! * `candidates`: which obligations are worth trying.
//! * [`decide`]: what is tried next, and how.
//! * `ended`: how it ended.
//! * `offers`: what an aggregator is asked beside it.
//! * [`parts`], `event`, `scouting`, `offering`: what the loop works with, waits for, and keeps
//!   of those two.
//! * [`time`]: the moment that counts, read or replayed.
//! * [`replay`]: the loop over a recording.
//! * [`chores`]: what is done between liquidations.
//! * [`worker`]: has what was decided tried, signs it, and sends it until its fate is
//!   known.
//! * [`trials`]: tries it in a virtual machine.

mod answers;
mod candidates;
pub mod chores;
#[cfg(test)]
mod crash;
pub mod decide;
mod ended;
pub mod engine;
mod event;
pub mod intake;
mod offering;
mod offers;
pub mod parts;
pub mod replay;
#[cfg(test)]
mod rig;
mod scout;
mod scouting;
pub mod time;
pub mod trials;
mod wants;
pub mod worker;
