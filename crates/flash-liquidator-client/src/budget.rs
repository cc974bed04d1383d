//! What a transaction takes, before anybody signs it: bytes, accounts and
//! compute units, and who takes most.

use std::{collections::BTreeSet, fmt};

use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::{AddressLookupTableAccount, CompileError, VersionedMessage, v0, v1};
use solana_sdk_ids::system_program;

use crate::{
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS, MAX_LOADED_BYTES},
    transaction::{MAX_TRANSACTION_BYTES, transaction_bytes},
    units::{self, Estimate},
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
    /// Compute units it will use.
    pub units: Estimate,
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
    /// Compute units it will use.
    pub estimate: Estimate,
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
    /// A higher limit of compute units than there is.
    #[error("the transaction asks for {units} compute units, {MAX_COMPUTE_UNITS} are allowed")]
    UnitLimit {
        /// Units it asks for.
        units: u32,
    },
    /// More compute units than it asks for.
    #[error(
        "the transaction uses at least {needed} compute units and asks for {units}, {MAX_COMPUTE_UNITS} are allowed; {contributors}"
    )]
    Units {
        /// Units it uses at least.
        needed: u32,
        /// Units it asks for.
        units: u32,
        /// Who uses most.
        contributors: String,
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

/// Compiles a v0 message that looks up whatever it can in `tables`. Bytes are
/// all it looks at: [`check_v0`] counts accounts and compute units too.
///
/// # Errors
/// [`BudgetError::Bytes`] with who takes most of them, or
/// [`BudgetError::Compile`] with more accounts than a message can number.
pub fn compile_v0(
    payer: &Address,
    instructions: &[Instruction],
    tables: &[AddressLookupTableAccount],
    blockhash: Hash,
) -> Result<VersionedMessage, BudgetError> {
    let message =
        VersionedMessage::V0(v0::Message::try_compile(payer, instructions, tables, blockhash)?);
    if transaction_bytes(&message) > MAX_TRANSACTION_BYTES {
        return Err(too_many_bytes(Format::V0, &message, payer, instructions));
    }
    Ok(message)
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
    // Left out, both limits would be zero in this format.
    let units = budget.unit_limit.unwrap_or_else(|| default_units(instructions));
    let config = v1::TransactionConfig {
        priority_fee: ComputeBudget { unit_limit: Some(units), ..*budget }
            .priority_fee()
            .filter(|fee| *fee > 0),
        compute_unit_limit: Some(units),
        loaded_accounts_data_size_limit: Some(MAX_LOADED_BYTES),
        heap_size: None,
    };
    let message = v1::Message::try_compile_with_config(payer, instructions, blockhash, config)?;
    let spelled_out: BTreeSet<Address> = message.account_keys.iter().copied().collect();
    let message = VersionedMessage::V1(message);
    let measured = measure(Format::V1, &message, payer, instructions, &spelled_out, Some(units))?;
    Ok((message, measured))
}

/// Compute units of a transaction that sets no limit.
fn default_units(instructions: &[Instruction]) -> u32 {
    const BUILTIN: u32 = 3_000;
    const OTHER: u32 = 200_000;
    let builtins = [system_program::ID, solana_sdk_ids::compute_budget::ID];
    instructions
        .iter()
        .map(|instruction| if builtins.contains(&instruction.program_id) { BUILTIN } else { OTHER })
        .fold(0u32, u32::saturating_add)
        .min(MAX_COMPUTE_UNITS)
}

/// The refusal of a message that has too many bytes.
fn too_many_bytes(
    format: Format,
    message: &VersionedMessage,
    payer: &Address,
    instructions: &[Instruction],
) -> BudgetError {
    let spelled_out = message.static_account_keys().iter().copied().collect();
    let (contributions, _) = contributions(payer, instructions, &spelled_out);
    BudgetError::Bytes {
        bytes: transaction_bytes(message),
        limit: format.max_bytes(),
        contributors: largest(&contributions),
    }
}

fn measure(
    format: Format,
    message: &VersionedMessage,
    payer: &Address,
    instructions: &[Instruction],
    spelled_out: &BTreeSet<Address>,
    units: Option<u32>,
) -> Result<Budget, BudgetError> {
    let (contributions, accounts) = contributions(payer, instructions, spelled_out);
    let units = units.unwrap_or_else(|| default_units(instructions));
    let bytes = transaction_bytes(message);
    if accounts > MAX_ACCOUNT_LOCKS {
        return Err(BudgetError::Accounts { accounts, contributors: largest(&contributions) });
    }
    if bytes > format.max_bytes() {
        let contributors = largest(&contributions);
        return Err(BudgetError::Bytes { bytes, limit: format.max_bytes(), contributors });
    }
    if units > MAX_COMPUTE_UNITS {
        return Err(BudgetError::UnitLimit { units });
    }
    let estimate: Estimate = contributions.iter().map(|contribution| contribution.units).sum();
    if estimate.at_least > units {
        let contributors = hungriest(&contributions);
        return Err(BudgetError::Units { needed: estimate.at_least, units, contributors });
    }
    Ok(Budget { format, bytes, accounts, units, estimate, contributions })
}

/// What each instruction adds, the largest first, and how many accounts there
/// are together.
fn contributions(
    payer: &Address,
    instructions: &[Instruction],
    spelled_out: &BTreeSet<Address>,
) -> (Vec<Contribution>, usize) {
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
                units: units::estimate(instruction),
            }
        })
        .collect();
    contributions.sort_by_key(|contribution| std::cmp::Reverse(contribution.bytes()));
    (contributions, seen.len())
}

/// Who takes most bytes, in words.
fn largest(contributions: &[Contribution]) -> String {
    let named: Vec<String> = contributions.iter().take(NAMED).map(ToString::to_string).collect();
    named.join("; ")
}

/// Who uses most compute units, in words.
fn hungriest(contributions: &[Contribution]) -> String {
    let mut contributions: Vec<&Contribution> = contributions.iter().collect();
    contributions.sort_by_key(|contribution| std::cmp::Reverse(contribution.units.at_least));
    let named: Vec<String> = contributions
        .iter()
        .take(NAMED)
        .map(|contribution| {
            format!(
                "instruction {} of {} uses {}",
                contribution.index, contribution.program, contribution.units
            )
        })
        .collect();
    named.join("; ")
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
        assert!(matches!(error, BudgetError::UnitLimit { units: 1_400_001 }), "{error}");
    }

    #[test]
    fn a_limit_that_cannot_do_is_refused_with_who_needs_it() {
        use crate::klend;
        use bytemuck::Zeroable;
        let reserves: Vec<_> = (20..33)
            .map(|byte| {
                let state = klend_interface::state::Reserve::zeroed();
                klend::ReserveAddresses::read(&key(byte), &state)
            })
            .collect();
        let instructions =
            [instruction(2, 10..12, 0), klend::refresh_reserves_batch(&reserves, false)];
        let error = check_v0(&key(1), &instructions, &[], Some(50_000)).unwrap_err();
        let BudgetError::Units { needed, units: 50_000, contributors } = &error else {
            panic!("{error}");
        };
        assert!(*needed > 50_000, "{needed}");
        let klend = format!("instruction 1 of {} uses ", klend::PROGRAM_ID);
        assert!(contributors.starts_with(&klend), "{contributors}");
        let budget = check_v0(&key(1), &instructions, &[], Some(500_000)).unwrap();
        assert!(budget.estimate.at_least <= 500_000 && budget.estimate.limit() <= 1_400_000);
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
        assert_eq!(message.config.loaded_accounts_data_size_limit, Some(64 * 1024 * 1024));
        // What is left out of a v1 header is zero, not a default.
        let compute = ComputeBudget { unit_limit: None, unit_price: 1_000_000 };
        let (message, _) = compile_v1(&key(1), &instructions, &compute, Hash::default()).unwrap();
        let VersionedMessage::V1(message) = message else { panic!("v1 was asked for") };
        assert_eq!(message.config.compute_unit_limit, Some(200_000));
        assert_eq!(message.config.priority_fee, Some(200_000));
    }
}
