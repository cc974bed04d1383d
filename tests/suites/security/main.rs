//! Attacks, cheats, faults and mutations: what must not work, and the proof that
//! each check of the program is what prevents it.

#![forbid(unsafe_code)]

mod adversarial;
mod attack;
mod bracket;
mod mutations;
