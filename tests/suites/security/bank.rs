//! Attacks whose outcome is the runtime's to decide, on a second runtime:
//! privileges, reentrancy, aliasing, the depth of calls, rent.

use flash_liquidator_tests::{Stage, stage::Runtime};

use crate::{
    adversarial,
    attack::{Attack, ending},
    bracket,
};

const ON_BOTH_RUNTIMES: [&str; 22] = [
    // Depth of calls and introspection.
    "called_by_another_program",
    "open_by_cpi",
    "settle_by_cpi",
    "borrow_by_cpi",
    "swap_borrows_from_klend",
    "liquidate_before_the_loan",
    "liquidate_after_the_repay",
    "settle_after_the_repay",
    // Reentrancy.
    "swap_calls_us",
    // Privileges.
    "swap_signs_for_the_keeper",
    "swap_takes_over_its_authority",
    "bracket_in_another_signers_wallet",
    "bracket_in_the_keepers_wallet",
    "bracket_of_another_keeper",
    "bracket_with_another_bump",
    "wallet_taken_over",
    // Aliasing.
    "ctoken_account_of_another_mint",
    "debt_account_in_place_of_the_collateral_account",
    // Accounts that change hands or vanish, rent.
    "swap_closes_its_input_account",
    "swap_sets_a_delegate_on_its_input",
    "forged_bracket",
    "swap_returns_nothing",
];

fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.runtime = Runtime::Bank;
    stage
}

#[test]
fn two_runtimes_agree_on_what_stops_an_attack() {
    for name in ON_BOTH_RUNTIMES {
        let attack: &Attack = adversarial::ATTACKS
            .iter()
            .chain(bracket::ATTACKS)
            .find(|attack| attack.name == name)
            .unwrap_or_else(|| panic!("no attack {name}"));
        let sent = (attack.run)(&mut stage());
        assert!(
            attack.stop.stopped(&sent),
            "{name}: expected {:?}, the bank says: {}",
            attack.stop,
            ending(&sent)
        );
    }
}

#[test]
fn the_bank_liquidates_as_well() {
    for plan in [Stage::sold, Stage::sold_through_authority] {
        let mut stage = stage();
        let plan = plan(&mut stage);
        stage.send(&plan.instructions).unwrap();
    }
}

#[test]
fn the_bank_settles_a_bracket_that_was_sent_lamports() {
    let mut stage = stage();
    bracket::send_lamports(&mut stage, 1);
    let plan = bracket::bracketed(&mut stage, &[]);
    stage.send(&plan.instructions).unwrap();
}
