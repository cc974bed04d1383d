//! Where seized collateral is sold, what it brings, and what is signed for it.
//!
//! * [`venue`]: pools, and what they pay.
//! * [`position`]: an obligation with its venues, and its best liquidation.
//! * [`discovery`]: which pools there are.
//! * [`fees`]: what is offered to be included, and who gets it.
//! * [`terms`]: what a transaction costs, and the least profit that is signed.
//! * [`halted`]: mints whose authority has stopped them.
//! * [`why`]: why an obligation is not tried, by name.
//! * [`needs`]: what has to be read before an obligation is liquidated.
//! * [`frozen`]: an obligation with everything it needs, read once: for the commands.

pub mod discovery;
pub mod fees;
pub mod frozen;
pub mod halted;
pub mod needs;
pub mod position;
pub mod terms;
mod traded;
pub mod venue;
pub mod why;
