//! Attacks, cheats, faults and mutations: what must not work, and the proof that
//! each check of the program is what prevents it.

#![forbid(unsafe_code)]

mod adversarial;
mod attack;
mod bank;
mod bracket;
mod dice;
mod document;
mod entry;
mod epilogue;
mod faults;
mod fuzz;
mod mutations;
mod parser;
