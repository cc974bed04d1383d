//! A small chain: programs given by path, tokens, and calls that anybody signs.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
};

use liquidation_venues::{
    Account as View, Accounts, Known, Now, SwapLeg,
    mint::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID},
};
use litesvm::LiteSVM;
use solana_account::Account;
use solana_address::Address;
use solana_clock::Clock;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_message::{VersionedMessage, legacy::Message};
use solana_sdk_ids::system_program;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

pub const RENT: Address = solana_sdk_ids::sysvar::rent::ID;
pub const ATA_PROGRAM: Address =
    solana_address::address!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

/// The program's ELF, if its variable names one. Says so where it does not.
pub fn elf(variable: &str) -> Option<Vec<u8>> {
    match env::var(variable).ok().filter(|path| !path.is_empty()) {
        Some(path) => Some(fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))),
        None => {
            eprintln!("SKIPPED: {variable} names no program, the recorded runs alone are checked");
            None
        }
    }
}

pub struct Chain {
    pub svm: LiteSVM,
    /// Pays, owns and signs everything.
    pub user: Address,
    count: u64,
    /// The tokens of all pools that are made, the lower one first, where they are given.
    pub pair: Option<[(Address, Account); 2]>,
    /// Accounts that calls have named.
    pub touched: BTreeSet<Address>,
    /// Accounts as they are read for quotes.
    seen: BTreeMap<Address, Option<Account>>,
}

/// Token-2022 as `TOKEN_2022_ELF` names it, instead of the one that LiteSVM brings along.
pub fn token_2022() -> Option<Vec<u8>> {
    let path = env::var("TOKEN_2022_ELF").ok().filter(|path| !path.is_empty())?;
    Some(fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// What a call came to.
#[derive(Debug)]
pub struct Failed {
    pub error: String,
    pub logs: Vec<String>,
    /// The swap program's number, where it gave one.
    pub code: Option<u32>,
}

impl Chain {
    pub fn new(program: Address, elf: &[u8]) -> Self {
        let mut svm = LiteSVM::new()
            .with_sigverify(false)
            .with_blockhash_check(false)
            .with_transaction_history(0)
            .with_log_bytes_limit(Some(20_000));
        svm.add_program(program, elf).expect("a program");
        if let Some(elf) = token_2022() {
            svm.add_program(TOKEN_2022, &elf).expect("a program");
        }
        let mut chain = Self {
            svm,
            user: key(1),
            count: 0,
            pair: None,
            touched: BTreeSet::new(),
            seen: BTreeMap::new(),
        };
        let user = chain.user;
        chain.fund(user);
        let mut clock: Clock = chain.svm.get_sysvar();
        clock.unix_timestamp = 1_800_000_000;
        chain.svm.set_sysvar(&clock);
        chain
    }

    pub fn fund(&mut self, key: Address) {
        let account =
            Account { lamports: 1 << 50, owner: system_program::ID, ..Account::default() };
        self.svm.set_account(key, account).expect("an account");
    }

    pub fn now(&self) -> Now {
        let clock: Clock = self.svm.get_sysvar();
        Now { unix_timestamp: clock.unix_timestamp, slot: clock.slot }
    }

    pub fn wait(&mut self, seconds: i64) {
        let mut clock: Clock = self.svm.get_sysvar();
        clock.unix_timestamp += seconds;
        clock.slot += 1 + seconds.unsigned_abs();
        self.svm.set_sysvar(&clock);
    }

    pub fn data(&self, key: &Address) -> Vec<u8> {
        self.svm.get_account(key).unwrap_or_else(|| panic!("no account {key}")).data
    }

    /// A mint with nobody's authority.
    pub fn mint(&mut self, key: Address, decimals: u8, program: Address) {
        let mut data = vec![0; 82];
        data[36..44].copy_from_slice(&(1u64 << 60).to_le_bytes());
        data[44] = decimals;
        data[45] = 1;
        self.put(key, program, data);
    }

    /// A token account.
    pub fn tokens(&mut self, key: Address, mint: &Address, owner: &Address, amount: u64) {
        let program = self.svm.get_account(mint).expect("a mint").owner;
        let mut data = vec![0; 165];
        data[..32].copy_from_slice(mint.as_ref());
        data[32..64].copy_from_slice(owner.as_ref());
        data[64..72].copy_from_slice(&amount.to_le_bytes());
        data[108] = 1;
        self.put(key, program, data);
    }

    pub fn put(&mut self, key: Address, owner: Address, data: Vec<u8>) {
        let account = Account { lamports: 1 << 40, owner, data, ..Account::default() };
        self.svm.set_account(key, account).expect("an account");
    }

    pub fn balance(&self, key: &Address) -> u64 {
        self.data(key)[64..72].try_into().map(u64::from_le_bytes).expect("eight bytes")
    }

    pub fn send(&mut self, instructions: &[Instruction]) -> Result<u64, Failed> {
        let named = instructions.iter().flat_map(|instruction| &instruction.accounts);
        self.touched.extend(named.map(|meta| meta.pubkey));
        let mut all = vec![unit_limit()];
        all.extend_from_slice(instructions);
        let message = Message::new_with_blockhash(&all, Some(&self.user), &Hash::default());
        let signers = usize::from(message.header.num_required_signatures);
        let signatures = (0..signers).map(|_| self.signature()).collect();
        let transaction =
            VersionedTransaction { signatures, message: VersionedMessage::Legacy(message) };
        match self.svm.send_transaction(transaction) {
            Ok(done) => Ok(done.compute_units_consumed),
            Err(failed) => {
                let code = match failed.err {
                    TransactionError::InstructionError(_, InstructionError::Custom(code)) => {
                        Some(code)
                    }
                    _ => None,
                };
                Err(Failed { error: format!("{:?}", failed.err), logs: failed.meta.logs, code })
            }
        }
    }

    /// No two alike, as the runtime tells transactions apart by them.
    fn signature(&mut self) -> Signature {
        self.count += 1;
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&self.count.to_le_bytes());
        Signature::from(bytes)
    }

    #[track_caller]
    pub fn must(&mut self, instruction: Instruction) {
        if let Err(Failed { error, logs, .. }) = self.send(&[instruction]) {
            panic!("{error}\n{}", logs.join("\n"));
        }
    }

    /// Whether a mint has extensions for which programs want their administrators' leave.
    pub fn is_extended(&self, mint: &Address) -> bool {
        const PLAIN: usize = 82;
        self.data(mint).len() > PLAIN
    }

    /// That a pool of such mints is not made before there is leave.
    #[track_caller]
    pub fn wants_leave(&mut self, creation: Instruction) {
        let failed = self.send(&[creation]).expect_err("made without leave");
        eprintln!("without leave: {} ({:?})", failed.error, failed.code);
        assert!(failed.code.is_some(), "{}", failed.logs.join("\n"));
    }

    /// Runs a leg by itself, with `amount` written where the receiver would write it.
    pub fn run(&mut self, leg: &SwapLeg, amount: u64) -> Result<u64, Failed> {
        self.send(&[leg_with(leg, amount)])
    }

    /// Reads what is not known yet, and again what is.
    pub fn read(&mut self, keys: &[Address]) {
        for key in keys {
            self.seen.insert(*key, self.svm.get_account(key));
        }
    }

    pub fn forget(&mut self) {
        self.seen.clear();
    }
}

impl Accounts for Chain {
    fn known(&self, key: &Address) -> Known<'_> {
        match self.seen.get(key) {
            None => Known::Unread,
            Some(None) => Known::Absent,
            Some(Some(account)) => {
                Known::Present(View { owner: &account.owner, data: &account.data })
            }
        }
    }
}

/// A leg as the receiver calls it, with `amount` written where it says.
pub fn leg_with(leg: &SwapLeg, amount: u64) -> Instruction {
    let mut data = leg.data.clone();
    if let Some(at) = leg.amount_in_offset {
        data[usize::from(at)..][..8].copy_from_slice(&amount.to_le_bytes());
    }
    Instruction { program_id: leg.program, accounts: leg.accounts.clone(), data }
}

fn unit_limit() -> Instruction {
    let mut data = vec![2];
    data.extend(1_400_000u32.to_le_bytes());
    Instruction { program_id: solana_sdk_ids::compute_budget::ID, accounts: Vec::new(), data }
}

pub const fn key(byte: u8) -> Address {
    Address::new_from_array([byte; 32])
}

/// A key nobody else has.
pub fn named(what: &str, number: u64) -> Address {
    Address::find_program_address(&[what.as_bytes(), &number.to_le_bytes()], &system_program::ID).0
}

pub fn pda(program: &Address, seeds: &[&[u8]]) -> Address {
    Address::find_program_address(seeds, program).0
}

/// An Anchor instruction.
pub fn call(
    program: Address,
    name: &str,
    arguments: &[&[u8]],
    accounts: Vec<AccountMeta>,
) -> Instruction {
    let mut data = discriminator(&format!("global:{name}")).to_vec();
    data.extend(arguments.concat());
    Instruction { program_id: program, accounts, data }
}

pub fn discriminator(name: &str) -> [u8; 8] {
    let hash = solana_sha256_hasher::hash(name.as_bytes()).to_bytes();
    *hash.first_chunk().expect("eight bytes")
}

pub fn w(key: Address) -> AccountMeta {
    AccountMeta::new(key, false)
}

pub fn r(key: Address) -> AccountMeta {
    AccountMeta::new_readonly(key, false)
}

pub fn ws(key: Address) -> AccountMeta {
    AccountMeta::new(key, true)
}

pub fn rs(key: Address) -> AccountMeta {
    AccountMeta::new_readonly(key, true)
}

pub const SYSTEM: Address = system_program::ID;
pub const TOKEN: Address = TOKEN_PROGRAM_ID;
pub const TOKEN_2022: Address = TOKEN_2022_PROGRAM_ID;

/// Numbers that are the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// From `low` to `high`, inclusive.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    /// Of any size up to `most`, small ones as likely as large ones.
    pub fn amount(&mut self, most: u64) -> u64 {
        let bits = 64 - most.leading_zeros();
        let size = self.next() % u64::from(bits) + 1;
        (self.next() >> (64 - size)).clamp(1, most)
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.next().is_multiple_of(one_in)
    }
}
