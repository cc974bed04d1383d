//! What a transaction takes, before anybody signs it: bytes, accounts and
//! compute units, and who takes most.

use std::{collections::BTreeSet, fmt};

use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::{AddressLookupTableAccount, CompileError, VersionedMessage, v0, v1};

use crate::{
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    transaction::{MAX_TRANSACTION_BYTES, transaction_bytes},
};

/// Accounts that one transaction may lock.
pub const MAX_ACCOUNT_LOCKS: usize = 64;

/// Contributors that a refusal names.
const NAMED: usize = 3;

/// How a transaction is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 1,232 bytes, with lookup tables; compute budget by instruction.
    V0,
    /// 4,096 bytes, every account spelled out; compute budget in the header.
    V1,
}

impl Format {
    /// Bytes that fit.
    #[must_use]
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::V0 => MAX_TRANSACTION_BYTES,
            Self::V1 => v1::MAX_TRANSACTION_SIZE,
        }
    }
}

/// What one instruction adds to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Position among the instructions.
    pub index: usize,
    /// Program it calls.
    pub program: Address,
    /// Bytes of its data.
    pub data_bytes: usize,
    /// Accounts that it names first and that are spelled out, 32 bytes each, the
    /// program included.
    pub spelled_out: usize,
    /// Accounts that it names first and that come from lookup tables.
    pub looked_up: usize,
    /// All accounts in its list.
    pub accounts: usize,
}

impl Contribution {
    /// Bytes that leaving it out would save.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        // Program, two counts, account indexes and data; then the keys.
        3 + self.accounts
            + self.data_bytes
            + self.spelled_out * size_of::<Address>()
            + self.looked_up
    }
}

impl fmt::Display for Contribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "instruction {} of {} takes {} bytes ({} of data, {} accounts, {} of them spelled out for it)",
            self.index,
            self.program,
            self.bytes(),
            self.data_bytes,
            self.accounts,
            self.spelled_out
        )
    }
}

/// What a whole transaction takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How it is written.
    pub format: Format,
    /// Bytes on the wire, signatures included.
    pub bytes: usize,
    /// Accounts it locks.
    pub accounts: usize,
    /// Compute units it asks for; the runtime's default without a limit.
    pub units: u32,
    /// What each instruction adds, the largest first.
    pub contributions: Vec<Contribution>,
}

/// Why a transaction would be dropped, with the largest contributors.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// Too many bytes.
    #[error("the transaction takes {bytes} bytes, {limit} fit; {contributors}")]
    Bytes {
        /// Bytes it takes.
        bytes: usize,
        /// Bytes that fit.
        limit: usize,
        /// Who takes most.
        contributors: String,
    },
    /// Too many accounts.
    #[error(
        "the transaction locks {accounts} accounts, {MAX_ACCOUNT_LOCKS} are allowed; {contributors}"
    )]
    Accounts {
        /// Accounts it locks.
        accounts: usize,
        /// Who names most.
        contributors: String,
    },
    /// Too many compute units.
    #[error("the transaction asks for {units} compute units, {MAX_COMPUTE_UNITS} are allowed")]
    Units {
        /// Units it asks for.
        units: u32,
    },
    /// The message cannot be compiled.
    #[error("the message cannot be compiled: {0}")]
    Compile(#[from] CompileError),
}

/// Measures a v0 transaction of these instructions, which carry their own
/// compute-budget instructions.
///
/// # Errors
/// [`BudgetError`]: it would be dropped, and who takes most.
pub fn check_v0(
    payer: &Address,
    instructions: &[Instruction],
    tables: &[AddressLookupTableAccount],
    units: Option<u32>,
) -> Result<Budget, BudgetError> {
    let message = v0::Message::try_compile(payer, instructions, tables, Hash::default())?;
    let spelled_out: BTreeSet<Address> = message.account_keys.iter().copied().collect();
    measure(Format::V0, &VersionedMessage::V0(message), payer, instructions, &spelled_out, units)
}

/// Compiles a v1 message: the compute budget goes into its header, every account
/// into the message.
///
/// # Errors
/// [`BudgetError`]: it would be dropped, and who takes most.
pub fn compile_v1(
    payer: &Address,
    instructions: &[Instruction],
    budget: &ComputeBudget,
    blockhash: Hash,
) -> Result<(VersionedMessage, Budget), BudgetError> {
    let mut config = v1::TransactionConfig::empty();
    if let Some(limit) = budget.unit_limit {
        config = config.with_compute_unit_limit(limit);
    }
    if let Some(fee) = budget.priority_fee().filter(|fee| *fee > 0) {
        config = config.with_priority_fee(fee);
    }
    let message = v1::Message::try_compile_with_config(payer, instructions, blockhash, config)?;
    let spelled_out: BTreeSet<Address> = message.account_keys.iter().copied().collect();
    let message = VersionedMessage::V1(message);
    let measured =
        measure(Format::V1, &message, payer, instructions, &spelled_out, budget.unit_limit)?;
    Ok((message, measured))
}

fn measure(
    format: Format,
    message: &VersionedMessage,
    payer: &Address,
    instructions: &[Instruction],
    spelled_out: &BTreeSet<Address>,
    units: Option<u32>,
) -> Result<Budget, BudgetError> {
    const DEFAULT_UNITS_PER_INSTRUCTION: u32 = 200_000;
    let mut seen = BTreeSet::from([*payer]);
    let mut contributions: Vec<Contribution> = instructions
        .iter()
        .enumerate()
        .map(|(index, instruction)| {
            let (mut spelled, mut looked_up) = (0, 0);
            let keys = instruction.accounts.iter().map(|meta| &meta.pubkey);
            for key in keys.chain([&instruction.program_id]) {
                if seen.insert(*key) {
                    if spelled_out.contains(key) { spelled += 1 } else { looked_up += 1 }
                }
            }
            Contribution {
                index,
                program: instruction.program_id,
                data_bytes: instruction.data.len(),
                spelled_out: spelled,
                looked_up,
                accounts: instruction.accounts.len(),
            }
        })
        .collect();
    contributions.sort_by_key(|contribution| std::cmp::Reverse(contribution.bytes()));

    let accounts = seen.len();
    let default_units = u32::try_from(instructions.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(DEFAULT_UNITS_PER_INSTRUCTION)
        .min(MAX_COMPUTE_UNITS);
    let units = units.unwrap_or(default_units);
    let bytes = transaction_bytes(message);
    let contributors = || {
        let named: Vec<String> =
            contributions.iter().take(NAMED).map(ToString::to_string).collect();
        named.join("; ")
    };
    if accounts > MAX_ACCOUNT_LOCKS {
        return Err(BudgetError::Accounts { accounts, contributors: contributors() });
    }
    if bytes > format.max_bytes() {
        let contributors = contributors();
        return Err(BudgetError::Bytes { bytes, limit: format.max_bytes(), contributors });
    }
    if units > MAX_COMPUTE_UNITS {
        return Err(BudgetError::Units { units });
    }
    Ok(Budget { format, bytes, accounts, units, contributions })
}

#[cfg(test)]
mod tests {
    use solana_instruction::AccountMeta;

    use super::*;
    use crate::lookup_table;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    fn instruction(program: u8, accounts: std::ops::Range<u8>, data: usize) -> Instruction {
        Instruction {
            program_id: key(program),
            accounts: accounts.map(|byte| AccountMeta::new(key(byte), false)).collect(),
            data: vec![7; data],
        }
    }

    fn table(instructions: &[Instruction]) -> AddressLookupTableAccount {
        AddressLookupTableAccount {
            key: key(250),
            addresses: lookup_table::candidates(instructions, &key(1)),
        }
    }

    #[test]
    fn contributions_add_up_to_the_transaction() {
        let instructions = [instruction(2, 10..20, 5), instruction(3, 15..30, 40)];
        let tables = [table(&instructions)];
        let budget = check_v0(&key(1), &instructions, &tables, None).unwrap();
        let sum: usize = budget.contributions.iter().map(Contribution::bytes).sum();
        // Signature and its count; version, header, count of keys, payer,
        // blockhash, count of instructions, count of lookups; one table with two
        // counts.
        let fixed = 1 + 64 + 1 + 3 + 1 + 32 + 32 + 1 + 1 + (32 + 2);
        assert_eq!(budget.bytes, fixed + sum);
        assert_eq!((budget.accounts, budget.units), (1 + 2 + 20, 400_000));
        assert_eq!(budget.contributions[0].index, 1);
        assert_eq!(
            (budget.contributions[0].spelled_out, budget.contributions[0].looked_up),
            (1, 10)
        );
    }

    #[test]
    fn too_many_bytes_name_who_takes_them() {
        let instructions = [instruction(2, 10..12, 5), instruction(3, 20..56, 300)];
        let error = check_v0(&key(1), &instructions, &[], None).unwrap_err();
        let BudgetError::Bytes { bytes, limit: 1_232, contributors } = &error else {
            panic!("{error}");
        };
        assert!(*bytes > 1_232);
        assert!(contributors.starts_with("instruction 1 of "), "{contributors}");
        assert!(
            contributors.contains("300 of data, 36 accounts, 37 of them spelled out"),
            "{error}"
        );
    }

    #[test]
    fn too_many_accounts_and_units_are_refused() {
        let instructions = [instruction(2, 10..100, 0)];
        let error = check_v0(&key(1), &instructions, &[table(&instructions)], None).unwrap_err();
        assert!(matches!(error, BudgetError::Accounts { accounts: 92, .. }), "{error}");
        let instructions = [instruction(2, 10..12, 0)];
        let error = check_v0(&key(1), &instructions, &[], Some(1_400_001)).unwrap_err();
        assert!(matches!(error, BudgetError::Units { units: 1_400_001 }), "{error}");
    }

    #[test]
    fn what_does_not_fit_v0_may_fit_v1() {
        let instructions = [instruction(2, 10..60, 700)];
        assert!(check_v0(&key(1), &instructions, &[], None).is_err());
        let compute = ComputeBudget { unit_limit: Some(300_000), unit_price: 1_000_000 };
        let (message, budget) =
            compile_v1(&key(1), &instructions, &compute, Hash::default()).unwrap();
        assert_eq!((budget.format, budget.accounts, budget.units), (Format::V1, 52, 300_000));
        assert!(budget.bytes > 1_232 && budget.bytes < 4_096, "{}", budget.bytes);
        let VersionedMessage::V1(message) = message else { panic!("v1 was asked for") };
        assert_eq!(message.config.compute_unit_limit, Some(300_000));
        assert_eq!(message.config.priority_fee, Some(300_000));
    }
}
