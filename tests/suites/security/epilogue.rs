//! The epilogue finds what balances do not show: takeovers that a keeper signs for here
//! without any program of ours, and that a slot later cost it everything.

use std::panic::{AssertUnwindSafe, catch_unwind};

use flash_liquidator_tests::{Stage, epilogue::assert_nothing_can_be_taken};
use klend_fork::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use spl_token_2022_interface::{
    extension::{ExtensionType, memo_transfer::instruction::enable_required_transfer_memos},
    instruction::{self as token, AuthorityType},
};

/// A keeper with SOL and PYUSD (Token-2022), and a thief.
struct Scene {
    stage: Stage,
    keeper: Address,
    thief: Address,
    sol: Address,
    pyusd: Address,
}

impl Scene {
    fn new() -> Self {
        let mut stage = Stage::new();
        let (keeper, thief) = (stage.keeper.pubkey(), stage.thief.pubkey());
        let sol = stage.give(&keeper, &stage.sol.clone(), 1_000);
        let reserve = stage.world.reserve_named("PYUSD").expect("a reserve");
        let pyusd = stage.give(&keeper, &reserve, 1_000);
        Self { stage, keeper, thief, sol, pyusd }
    }

    /// What the epilogue says of these instructions; keeper and thief sign them.
    fn complaint(&mut self, instructions: &[Instruction]) -> Option<String> {
        let before = self.stage.world.clone();
        let signers = [&self.stage.keeper, &self.stage.thief];
        self.stage.world.send(instructions, &signers).expect("the keeper consents");
        let victims = [self.keeper, self.stage.swap_authority()];
        let checked = catch_unwind(AssertUnwindSafe(|| {
            assert_nothing_can_be_taken(&before, &self.stage.world, &victims, &[self.thief]);
        }));
        checked.err().map(|panic| panic.downcast_ref::<String>().expect("a message").clone())
    }
}

fn finds(words: &str, takeover: impl FnOnce(&Scene) -> Vec<Instruction>) {
    let mut scene = Scene::new();
    let instructions = takeover(&scene);
    let complaint = scene.complaint(&instructions);
    assert!(complaint.as_ref().is_some_and(|said| said.contains(words)), "{words}: {complaint:?}");
}

#[test]
fn a_wallet_that_is_a_nonce_account_of_the_thief() {
    finds("can withdraw lamports", |scene| {
        let nonce = system::create_nonce_account(&scene.thief, &scene.keeper, &scene.thief, 1);
        vec![system::allocate(&scene.keeper, 80), nonce[1].clone()]
    });
}

#[test]
fn a_wallet_with_room_for_a_nonce() {
    finds("anybody can make a nonce account", |scene| vec![system::allocate(&scene.keeper, 80)]);
}

#[test]
fn a_wallet_that_can_never_pay_again() {
    finds("can no longer be used", |scene| vec![system::allocate(&scene.keeper, 1)]);
}

#[test]
fn a_wallet_with_room_for_a_multisig() {
    finds("anybody can make a multisig", |scene| {
        let space = system::allocate(&scene.keeper, 355);
        vec![space, system::assign(&scene.keeper, &TOKEN_PROGRAM_ID)]
    });
}

/// All keys of a multisig together take what none of them can alone.
#[test]
fn a_wallet_that_is_a_multisig_of_two_thieves() {
    finds("all hostile keys together can transfer units", |scene| {
        let signers = [&scene.thief, &Address::new_from_array([66; 32])];
        vec![
            system::allocate(&scene.keeper, 355),
            system::assign(&scene.keeper, &TOKEN_PROGRAM_ID),
            token::initialize_multisig2(&TOKEN_PROGRAM_ID, &scene.keeper, &signers, 2).unwrap(),
        ]
    });
}

#[test]
fn a_delegate() {
    finds("can transfer units", |scene| {
        let Scene { keeper, thief, sol, .. } = scene;
        vec![token::approve(&TOKEN_PROGRAM_ID, sol, thief, keeper, &[], 1).unwrap()]
    });
}

#[test]
fn a_close_authority() {
    finds("can become the close authority", |scene| {
        let Scene { keeper, thief, sol, .. } = scene;
        let kind = AuthorityType::CloseAccount;
        vec![token::set_authority(&TOKEN_PROGRAM_ID, sol, Some(thief), kind, keeper, &[]).unwrap()]
    });
}

#[test]
fn an_account_that_wants_a_memo_with_every_transfer() {
    finds("can no longer be used", |scene| {
        let (program, Scene { keeper, pyusd, .. }) = (&TOKEN_2022_PROGRAM_ID, scene);
        let memo = [ExtensionType::MemoTransfer];
        vec![
            token::reallocate(program, pyusd, keeper, keeper, &[], &memo).unwrap(),
            enable_required_transfer_memos(program, pyusd, keeper, &[]).unwrap(),
        ]
    });
}

#[test]
fn nothing_is_found_where_nothing_can_be_taken() {
    let mut scene = Scene::new();
    let pay = system::transfer(&scene.keeper, &scene.thief, 1);
    assert_eq!(scene.complaint(std::slice::from_ref(&pay)), None);
    // Nor is what could be taken before.
    let Scene { keeper, thief, sol, .. } = &scene;
    let approve = token::approve(&TOKEN_PROGRAM_ID, sol, thief, keeper, &[], 1).unwrap();
    assert!(scene.complaint(&[approve]).is_some());
    assert_eq!(scene.complaint(&[pay]), None);
}
