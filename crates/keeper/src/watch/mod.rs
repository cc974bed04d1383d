//! The loop of `keeper watch`: it puts the layers together.
//!
//! * [`engine`]: the turns of the loop, and what it knows.
//! * [`intake`]: what feeds and readers bring, taken into the book.
//! * `wants`: what they are asked for.
//! * `scout`: what obligations near their limit need, found out a few at a time.
//! * [`decide`]: what is worth trying, and how.
//! * `ended`: how it ended.
//! * `offers`: what an aggregator is asked beside it.
//! * [`time`]: the moment that counts, read or replayed.
//! * [`replay`]: the loop over a recording.
//! * [`chores`]: what is done between liquidations.
//! * [`worker`]: tries what was decided in a virtual machine, signs it, and sends it
//!   until its fate is known.

pub mod chores;
#[cfg(test)]
mod crash;
pub mod decide;
mod ended;
pub mod engine;
pub mod intake;
mod offers;
pub mod replay;
#[cfg(test)]
mod rig;
mod scout;
pub mod time;
mod wants;
pub mod worker;
