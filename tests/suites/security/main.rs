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
mod extensions;
mod faults;
mod fuzz;
mod mutations;
mod native;
mod parser;
mod permissioner;
mod sweep;
mod wallets;

/// Every attack, by the module it is in.
const ATTACKS: [(&str, &[attack::Attack]); 7] = [
    ("adversarial", adversarial::ATTACKS),
    ("bracket", bracket::ATTACKS),
    ("extensions", extensions::ATTACKS),
    ("native", native::ATTACKS),
    ("permissioner", permissioner::ATTACKS),
    ("sweep", sweep::ATTACKS),
    ("wallets", wallets::ATTACKS),
];
