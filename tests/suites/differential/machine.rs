//! klend in a virtual machine, and the instructions it is asked for.

use klend_fork::Programs;
use klend_model::{
    constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID},
    keys,
};
use litesvm::LiteSVM;
use solana_account::Account;
use solana_address::{Address, address};
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_keypair::Keypair;
use solana_message::Message;
use solana_signer::Signer;
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;

use crate::world::{Ask, NOW, World};

/// The instructions sysvar.
const INSTRUCTIONS_SYSVAR: Address = address!("Sysvar1nstructions1111111111111111111111111");
/// SPL Token.
pub const TOKEN_PROGRAM: Address = address!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");

/// klend in a virtual machine with nothing else than what a liquidation needs.
pub struct Machine {
    svm: LiteSVM,
    pub keeper: Keypair,
    pub authority: Address,
}

/// What the program answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// An error number, with the position of the failing instruction.
    Error(u8, u32),
    Aborted(u8),
}

impl Machine {
    pub fn new() -> Self {
        let mut svm = LiteSVM::new().with_sigverify(false).with_transaction_history(0);
        for program in Programs::from_environment().expect("the programs are built").0 {
            svm.add_program(program.id, &program.elf).expect("a program loads");
        }
        svm.set_sysvar(&solana_clock::Clock {
            slot: NOW.slot,
            unix_timestamp: NOW.unix_timestamp as i64,
            ..solana_clock::Clock::default()
        });
        let keeper = Keypair::new_from_array([17; 32]);
        svm.airdrop(&keeper.pubkey(), 1_000_000_000_000).expect("lamports for the keeper");
        let (authority, _) = authority();
        Self { svm, keeper, authority }
    }

    pub fn put(&mut self, key: Address, owner: Address, data: Vec<u8>) {
        let lamports = 1_000_000_000;
        let account = Account { lamports, data, owner, ..Account::default() };
        self.svm.set_account(key, account).expect("an account is set");
    }

    pub fn data(&self, key: &Address) -> Vec<u8> {
        self.svm.get_account(key).expect("the account is there").data
    }

    pub fn balance(&self, key: &Address) -> u64 {
        u64::from_le_bytes(self.data(key)[64..72].try_into().expect("eight bytes"))
    }

    pub fn run(&mut self, instructions: &[Instruction]) -> (Answer, Vec<String>) {
        self.svm.expire_blockhash();
        let message = Message::new(instructions, Some(&self.keeper.pubkey()));
        let transaction = Transaction::new(&[&self.keeper], message, self.svm.latest_blockhash());
        match self.svm.send_transaction(transaction) {
            Ok(meta) => (Answer::Done, meta.logs),
            Err(failed) => {
                let answer = match failed.err {
                    TransactionError::InstructionError(at, InstructionError::Custom(code)) => {
                        Answer::Error(at, code)
                    }
                    TransactionError::InstructionError(
                        at,
                        InstructionError::ProgramFailedToComplete,
                    ) => Answer::Aborted(at),
                    other => panic!("{other:?}\n{}", failed.meta.pretty_logs()),
                };
                (answer, failed.meta.logs)
            }
        }
    }
}

/// The market's authority and its bump.
pub fn authority() -> (Address, u8) {
    Address::find_program_address(&[b"lma", market_key().as_ref()], &KLEND_PROGRAM_ID)
}

/// A fixed key for each account of the small world.
fn key(kind: u8, index: usize) -> Address {
    let mut bytes = [kind; 32];
    bytes[0] = index as u8 + 1;
    bytes[1] = 0xD1;
    Address::new_from_array(bytes)
}

pub fn market_key() -> Address {
    key(1, 0)
}

pub fn obligation_key() -> Address {
    key(2, 0)
}

pub fn reserve_key(index: usize) -> Address {
    key(3, index)
}

/// Accounts that belong to a reserve.
#[derive(Clone, Copy)]
pub enum Of {
    Mint = 4,
    Supply,
    Fees,
    CtokenMint,
    CtokenSupply,
    Pyth,
    Switchboard,
    SwitchboardTwap,
    KeeperTokens,
    KeeperCtokens,
}

pub fn of(index: usize, what: Of) -> Address {
    key(what as u8, index)
}

pub fn scope_key() -> Address {
    key(40, 0)
}

// ---------------------------------------------------------------- instructions

fn klend(discriminator: [u8; 8], args: &[u8], accounts: Vec<AccountMeta>) -> Instruction {
    let data = [&discriminator[..], args].concat();
    Instruction { program_id: KLEND_PROGRAM_ID, accounts, data }
}

fn writable(key: Address) -> AccountMeta {
    AccountMeta::new(key, false)
}

fn readonly(key: Address) -> AccountMeta {
    AccountMeta::new_readonly(key, false)
}

/// `refresh_reserve` with the oracles it names.
pub fn refresh_reserve(world: &World, index: usize) -> Instruction {
    let info = &world.reserves[index].config.token_info;
    let or_none =
        |key: &Address| readonly(if key.to_bytes() == [0; 32] { KLEND_PROGRAM_ID } else { *key });
    klend(
        [2, 218, 138, 235, 79, 201, 25, 102],
        &[],
        vec![
            writable(reserve_key(index)),
            readonly(market_key()),
            or_none(keys::address(&info.pyth_configuration.price)),
            or_none(keys::address(&info.switchboard_configuration.price_aggregator)),
            or_none(keys::address(&info.switchboard_configuration.twap_aggregator)),
            or_none(keys::address(&info.scope_configuration.price_feed)),
        ],
    )
}

/// `refresh_obligation` with its reserves.
pub fn refresh_obligation(world: &World) -> Instruction {
    let mut accounts = vec![readonly(market_key()), writable(obligation_key())];
    accounts.extend(world.deposit_reserves().map(|index| writable(reserve_key(index))));
    accounts.extend(world.borrow_reserves().map(|index| writable(reserve_key(index))));
    klend([33, 132, 147, 228, 151, 192, 72, 89], &[], accounts)
}

/// Liquidation v2 by the keeper.
pub fn liquidate(world: &World, machine: &Machine, pair: &Ask) -> Instruction {
    let none = || readonly(KLEND_PROGRAM_ID);
    let (repay, withdraw) = (pair.repay, pair.withdraw);
    let mut accounts = vec![
        AccountMeta::new_readonly(machine.keeper.pubkey(), true),
        writable(obligation_key()),
        readonly(market_key()),
        readonly(machine.authority),
        writable(reserve_key(repay)),
        readonly(of(repay, Of::Mint)),
        writable(of(repay, Of::Supply)),
        writable(reserve_key(withdraw)),
        readonly(of(withdraw, Of::Mint)),
        writable(of(withdraw, Of::CtokenMint)),
        writable(of(withdraw, Of::CtokenSupply)),
        writable(of(withdraw, Of::Supply)),
        writable(of(withdraw, Of::Fees)),
        writable(of(repay, Of::KeeperTokens)),
        writable(of(withdraw, Of::KeeperCtokens)),
        writable(of(withdraw, Of::KeeperTokens)),
        readonly(TOKEN_PROGRAM),
        readonly(TOKEN_PROGRAM),
        readonly(TOKEN_PROGRAM),
        readonly(INSTRUCTIONS_SYSVAR),
        none(),
        none(),
        none(),
        none(),
        readonly(FARMS_PROGRAM_ID),
    ];
    if world.obligation.elevation_group != 0 {
        accounts.extend(world.deposit_reserves().map(|index| writable(reserve_key(index))));
    }
    let mut args = [0; 24];
    args[..8].copy_from_slice(&pair.amount.to_le_bytes());
    args[8..16].copy_from_slice(&pair.min_received.to_le_bytes());
    klend([162, 161, 35, 143, 30, 187, 185, 103], &args, accounts)
}

fn flash_accounts(machine: &Machine, index: usize) -> Vec<AccountMeta> {
    vec![
        AccountMeta::new_readonly(machine.keeper.pubkey(), true),
        readonly(machine.authority),
        readonly(market_key()),
        writable(reserve_key(index)),
        readonly(of(index, Of::Mint)),
        writable(of(index, Of::Supply)),
        writable(of(index, Of::KeeperTokens)),
        writable(of(index, Of::Fees)),
        readonly(KLEND_PROGRAM_ID),
        readonly(KLEND_PROGRAM_ID),
        readonly(INSTRUCTIONS_SYSVAR),
        readonly(TOKEN_PROGRAM),
    ]
}

/// The first half of a flash loan.
pub fn flash_borrow(machine: &Machine, index: usize, amount: u64) -> Instruction {
    klend(
        [135, 231, 52, 167, 7, 52, 212, 193],
        &amount.to_le_bytes(),
        flash_accounts(machine, index),
    )
}

/// The second half of a flash loan.
pub fn flash_repay(machine: &Machine, index: usize, amount: u64, borrow: u8) -> Instruction {
    let mut args = amount.to_le_bytes().to_vec();
    args.push(borrow);
    klend([185, 117, 0, 203, 96, 245, 180, 186], &args, flash_accounts(machine, index))
}

/// The obligation's owner: anybody but the keeper.
pub fn owner_key() -> Address {
    key(50, 0)
}
