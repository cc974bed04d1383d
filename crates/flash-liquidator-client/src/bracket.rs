//! `open` … `settle`: a guarded bracket for instructions that must stay at top
//! level inside a flash loan, such as a router too deep for a CPI or another
//! protocol's liquidation.
//!
//! [`GuardedFlash`] takes any list of instructions and makes a transaction of
//! it: flash borrow, `open`, the instructions, `settle`, flash repay. Here they
//! are an arbitrage of two routers over a loan of 1,000 tokens:
//!
//! ```
//! use flash_liquidator_client::{
//!     bracket::{GuardedFlash, Guards, derive_guards},
//!     compute_budget::ComputeBudget,
//!     klend::{FlashLoan, PROGRAM_ID, ReserveAddresses},
//!     lookup_table, receiver,
//! };
//! # use klend_interface::state::Reserve;
//! # use solana_address::Address;
//! # use solana_hash::Hash;
//! # use solana_instruction::{AccountMeta, Instruction};
//! # use solana_message::AddressLookupTableAccount;
//! # let key = |byte| Address::new_from_array([byte; 32]);
//! # let (keeper, usdc_account, sol_account) = (key(1), key(2), key(3));
//! # let account: Reserve = bytemuck::Zeroable::zeroed();
//! # let swap = |program| Instruction {
//! #     program_id: key(program),
//! #     accounts: vec![AccountMeta::new(usdc_account, false), AccountMeta::new(sol_account, false)],
//! #     data: vec![1, 2, 3],
//! # };
//! # let (buy, sell) = (swap(10), swap(11));
//! // `account` has been read from the chain, at this address.
//! let reserve = ReserveAddresses::read(&key(4), &account);
//! // Here the keeper's SOL: it may not become less either.
//! # let token_account = |mint: Address| {
//! #     let mut data = [mint.to_bytes(), keeper.to_bytes()].concat();
//! #     data.resize(165, 0);
//! #     data[108] = 1;
//! #     Some((flash_liquidator_client::token::TOKEN_PROGRAM_ID, data))
//! # };
//! # let read = |key: &Address| (*key == sol_account).then(|| token_account(*key)).flatten();
//! let guards = derive_guards(&keeper, &usdc_account, &[buy.clone(), sell.clone()], read)?;
//! assert_eq!((guards.len(), guards[0].account), (1, sol_account));
//! let flash = GuardedFlash {
//!     loan: FlashLoan {
//!         reserve: &reserve,
//!         borrower: keeper,
//!         token_account: usdc_account,
//!         referrer: None,
//!     },
//!     amount: 1_000_000_000,
//!     // At least two tokens are left over after the loan and its fee, or nothing happens.
//!     min_profit: 2_000_000,
//!     deadline_slot: 0,
//!     max_lamports_spent: 0,
//!     guards: Guards::These(&guards),
//!     compute_budget: ComputeBudget { unit_limit: Some(600_000), unit_price: 10_000 },
//!     setup: vec![],
//!     body: vec![buy, sell],
//! };
//!
//! let programs: Vec<Address> = flash.instructions()?.iter().map(|ix| ix.program_id).collect();
//! // Behind the two instructions of the compute budget:
//! let expected =
//!     [PROGRAM_ID, receiver::PROGRAM_ID, key(10), key(11), receiver::PROGRAM_ID, PROGRAM_ID];
//! assert_eq!(programs[2..], expected);
//!
//! // Version 0, with a lookup table that the keeper made beforehand.
//! # let blockhash = Hash::default();
//! let table = AddressLookupTableAccount {
//!     key: key(5),
//!     addresses: lookup_table::candidates(&flash.instructions()?, &keeper),
//! };
//! let (message, budget) = flash.compile_v0(&[table], blockhash)?;
//! assert!(budget.bytes <= 1_232);
//!
//! // Version 1: no table, and the compute budget in the header instead of in front.
//! let (message, budget) = flash.compile_v1(blockhash)?;
//! assert_eq!(message.instructions().len(), 6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use anchor_lang::{AnchorDeserialize, Discriminator, InstructionData};
use flash_liquidator::instruction::{Liquidate, Open, Settle};
pub use flash_liquidator::{
    OpenArgs, Settled,
    state::{BRACKET_SEED, MAX_GUARDS},
};
use liquidation_venues::pda;
use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{AddressLookupTableAccount, VersionedMessage};
use solana_sdk_ids::{system_program, sysvar};

use crate::{
    budget::{self, Budget, BudgetError, Format},
    compute_budget::ComputeBudget,
    klend::{self, FlashLoan},
    receiver::{BuildError, FlashIndexes, LiquidateArgs, PROGRAM_ID, byte},
    token,
};

/// Address and bump of a keeper's bracket: PDA `["bracket", keeper]`.
#[must_use]
pub fn bracket(keeper: &Address) -> (Address, u8) {
    pda::find(&[BRACKET_SEED, keeper.as_ref()], &PROGRAM_ID)
}

/// A token account to watch over the bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The keeper's token account.
    pub account: Address,
    /// Most raw units it may lose; 0 for none.
    pub max_loss: u64,
}

/// Which token accounts a bracket watches, besides the one the loan arrives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guards<'a> {
    /// These, at least one: [`derive_guards`] finds them.
    These(&'a [Guard]),
    /// No other. Whatever the body does to the keeper's other token accounts, the keeper
    /// consents to it.
    DebtAccountOnly,
}

impl<'a> Guards<'a> {
    const fn list(self) -> &'a [Guard] {
        match self {
            Self::These(guards) => guards,
            Self::DebtAccountOnly => &[],
        }
    }
}

/// A guard, with no loss allowed, for every token account of the keeper that the
/// instructions of `body` write, but for `debt_account`.
///
/// `read` gives an account's program and data, `None` where there is none: what does not
/// exist yet has nothing to lose. Raise [`Guard::max_loss`] of those that the body is to
/// sell from.
///
/// # Errors
/// [`BuildError::TooMany`] when there are more than a bracket can watch: none is left out.
pub fn derive_guards(
    keeper: &Address,
    debt_account: &Address,
    body: &[Instruction],
    mut read: impl FnMut(&Address) -> Option<(Address, Vec<u8>)>,
) -> Result<Vec<Guard>, BuildError> {
    let mut guards: Vec<Guard> = Vec::new();
    let metas = body.iter().flat_map(|instruction| &instruction.accounts);
    for key in metas.filter(|meta| meta.is_writable).map(|meta| meta.pubkey) {
        let is_new = key != *debt_account && guards.iter().all(|guard| guard.account != key);
        let is_theirs = |(program, data): (Address, Vec<u8>)| {
            token::owner_of_token_account(&program, &data) == Some(*keeper)
        };
        if is_new && read(&key).is_some_and(is_theirs) {
            guards.push(Guard { account: key, max_loss: 0 });
        }
    }
    require_few(&guards)?;
    Ok(guards)
}

fn require_few(guards: &[Guard]) -> Result<(), BuildError> {
    let (count, limit) = (guards.len(), MAX_GUARDS);
    if count > limit {
        return Err(BuildError::TooMany { what: "guarded token accounts", count, limit });
    }
    Ok(())
}

/// Why no guarded transaction can be built.
#[derive(Debug, thiserror::Error)]
pub enum GuardedFlashError {
    /// A list of guards with none in it, which nobody decided on.
    #[error("no token account is guarded: derive the guards, or say `DebtAccountOnly`")]
    NoGuards,
    /// A count or an index does not fit.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The receiver allows one bracket in a loan.
    #[error("instruction {index} of the body opens or settles a bracket: there is one already")]
    BracketInBody {
        /// Position in the body.
        index: usize,
    },
    /// A `liquidate` whose arguments cannot be read.
    #[error("instruction {index} of the body is a liquidate with malformed arguments")]
    MalformedLiquidate {
        /// Position in the body.
        index: usize,
    },
    /// It would be dropped for what it takes.
    #[error(transparent)]
    Budget(#[from] BudgetError),
}

/// Any instructions between a klend flash borrow and its repay, with the
/// receiver's bracket around them.
#[derive(Clone, Debug)]
pub struct GuardedFlash<'a> {
    /// The loan; its borrower is the keeper, who pays for the transaction.
    pub loan: FlashLoan<'a>,
    /// Principal, raw units.
    pub amount: u64,
    /// Least profit after loan and fee, raw units of the loan's mint.
    pub min_profit: i64,
    /// Last slot in which it may execute; 0 for none.
    pub deadline_slot: u64,
    /// Most lamports the keeper may be poorer by when the bracket is settled.
    pub max_lamports_spent: u64,
    /// Token accounts to watch besides the one the loan arrives in.
    pub guards: Guards<'a>,
    /// Compute-unit limit and price.
    pub compute_budget: ComputeBudget,
    /// Instructions before the loan.
    pub setup: Vec<Instruction>,
    /// Instructions inside the bracket, in order. Where one is a `liquidate` of
    /// the receiver, the indexes of the loan are written into it; whatever they
    /// were before does not matter.
    pub body: Vec<Instruction>,
}

impl GuardedFlash<'_> {
    /// Positions of flash borrow and repay in a transaction of this format. The
    /// compute budget shifts them in v0 and is no instruction in v1.
    ///
    /// # Errors
    /// [`BuildError::TooMany`] when they do not fit a byte.
    pub fn flash_indexes(&self, format: Format) -> Result<FlashIndexes, BuildError> {
        let in_front = match format {
            Format::V0 => self.compute_budget.instructions().len(),
            Format::V1 => 0,
        };
        let borrow = in_front + self.setup.len();
        // Behind borrow, open, body and settle.
        let repay = borrow + 1 + 1 + self.body.len() + 1;
        Ok(FlashIndexes {
            borrow: byte("instructions before the loan", borrow)?,
            repay: byte("instructions up to the repay", repay)?,
        })
    }

    /// The instructions of a v0 transaction, in order.
    ///
    /// # Errors
    /// [`GuardedFlashError`]: an index or the guards do not fit, or the body has
    /// a bracket of its own.
    pub fn instructions(&self) -> Result<Vec<Instruction>, GuardedFlashError> {
        let mut instructions = self.compute_budget.instructions();
        instructions.extend(self.after_the_budget(Format::V0)?);
        Ok(instructions)
    }

    /// A v0 message that looks up what it can in `tables`, and what it takes.
    ///
    /// # Errors
    /// As [`instructions`](Self::instructions), and when it would be dropped for
    /// its size, its accounts or its compute units.
    pub fn compile_v0(
        &self,
        tables: &[AddressLookupTableAccount],
        blockhash: Hash,
    ) -> Result<(VersionedMessage, Budget), GuardedFlashError> {
        let (payer, instructions) = (&self.loan.borrower, self.instructions()?);
        let units = self.compute_budget.unit_limit;
        let budget = budget::check_v0(payer, &instructions, tables, units)?;
        Ok((budget::compile_v0(payer, &instructions, tables, blockhash)?, budget))
    }

    /// A v1 message, and what it takes.
    ///
    /// # Errors
    /// As [`compile_v0`](Self::compile_v0).
    pub fn compile_v1(
        &self,
        blockhash: Hash,
    ) -> Result<(VersionedMessage, Budget), GuardedFlashError> {
        let instructions = self.after_the_budget(Format::V1)?;
        let payer = &self.loan.borrower;
        Ok(budget::compile_v1(payer, &instructions, &self.compute_budget, blockhash)?)
    }

    /// Everything but the instructions of the compute budget.
    fn after_the_budget(&self, format: Format) -> Result<Vec<Instruction>, GuardedFlashError> {
        if self.guards == Guards::These(&[]) {
            return Err(GuardedFlashError::NoGuards);
        }
        require_few(self.guards.list())?;
        let indexes = self.flash_indexes(format)?;

        let mut instructions = self.setup.clone();
        instructions.push(klend::flash_borrow(&self.loan, self.amount));
        instructions.push(self.open(indexes));
        for (index, instruction) in self.body.iter().enumerate() {
            instructions.push(inside(index, instruction, indexes)?);
        }
        instructions.push(self.settle());
        instructions.push(klend::flash_repay(&self.loan, self.amount, indexes.borrow));
        Ok(instructions)
    }

    fn open(&self, indexes: FlashIndexes) -> Instruction {
        let args = OpenArgs {
            flash_borrow_index: indexes.borrow,
            flash_repay_index: indexes.repay,
            settle_index: indexes.repay - 1,
            bracket_bump: bracket(&self.loan.borrower).1,
            min_profit: self.min_profit,
            deadline_slot: self.deadline_slot,
            max_lamports_spent: self.max_lamports_spent,
            max_losses: self.guards.list().iter().map(|guard| guard.max_loss).collect(),
        };
        self.instruction(Open { args }.data())
    }

    fn settle(&self) -> Instruction {
        self.instruction(Settle {}.data())
    }

    /// Both instructions list the same accounts; the receiver insists on it.
    fn instruction(&self, data: Vec<u8>) -> Instruction {
        let FlashLoan { reserve, borrower, token_account, .. } = self.loan;
        let mut accounts = vec![
            AccountMeta::new(borrower, true),
            AccountMeta::new(bracket(&borrower).0, false),
            AccountMeta::new_readonly(token_account, false),
            AccountMeta::new_readonly(reserve.liquidity_mint, false),
            AccountMeta::new_readonly(reserve.liquidity_token_program, false),
            AccountMeta::new_readonly(reserve.reserve, false),
            AccountMeta::new_readonly(sysvar::instructions::ID, false),
            AccountMeta::new_readonly(system_program::ID, false),
        ];
        let guards = self.guards.list().iter().map(|guard| guard.account);
        accounts.extend(guards.map(|key| AccountMeta::new_readonly(key, false)));
        Instruction { program_id: PROGRAM_ID, accounts, data }
    }
}

/// An instruction of the body as it stands in the transaction.
fn inside(
    index: usize,
    instruction: &Instruction,
    indexes: FlashIndexes,
) -> Result<Instruction, GuardedFlashError> {
    let mut instruction = instruction.clone();
    if instruction.program_id != PROGRAM_ID {
        return Ok(instruction);
    }
    let is_bracket = [Open::DISCRIMINATOR, Settle::DISCRIMINATOR]
        .iter()
        .any(|discriminator| instruction.data.starts_with(discriminator));
    if is_bracket {
        return Err(GuardedFlashError::BracketInBody { index });
    }
    if let Some(args) = instruction.data.strip_prefix(Liquidate::DISCRIMINATOR) {
        let mut args = LiquidateArgs::try_from_slice(args)
            .map_err(|_| GuardedFlashError::MalformedLiquidate { index })?;
        args.flash_borrow_index = indexes.borrow;
        args.flash_repay_index = indexes.repay;
        instruction.data = Liquidate { args }.data();
    }
    Ok(instruction)
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use klend_interface::state::Reserve;

    use super::*;
    use crate::klend::ReserveAddresses;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    fn reserve() -> ReserveAddresses {
        ReserveAddresses::read(&key(4), &Reserve::zeroed())
    }

    fn flash<'a>(reserve: &'a ReserveAddresses, guards: Guards<'a>) -> GuardedFlash<'a> {
        GuardedFlash {
            loan: FlashLoan { reserve, borrower: key(1), token_account: key(2), referrer: None },
            amount: 1_000,
            min_profit: 5,
            deadline_slot: 9,
            max_lamports_spent: 7,
            guards,
            compute_budget: ComputeBudget { unit_limit: Some(500_000), unit_price: 1 },
            setup: vec![other(20), other(21)],
            body: vec![other(22), other(23), other(24)],
        }
    }

    fn other(program: u8) -> Instruction {
        Instruction { program_id: key(program), accounts: vec![], data: vec![program] }
    }

    fn liquidate() -> Instruction {
        let args = LiquidateArgs {
            repay_amount: 1,
            min_collateral_received: 2,
            min_profit: -3,
            deadline_slot: 4,
            flash_borrow_index: 250,
            flash_repay_index: 251,
            redemption: crate::receiver::Redemption::AllowPartial,
            deposit_reserve_count: 0,
            has_permissioner: false,
            intermediate_count: 0,
            swap_authority_bump: 6,
            legs: vec![],
        };
        Instruction { program_id: PROGRAM_ID, accounts: vec![], data: Liquidate { args }.data() }
    }

    fn args<T: AnchorDeserialize>(data: &[u8]) -> T {
        T::try_from_slice(&data[8..]).unwrap()
    }

    #[test]
    fn every_index_names_what_it_should() {
        let reserve = reserve();
        let guards = [Guard { account: key(30), max_loss: 11 }];
        let mut flash = flash(&reserve, Guards::These(&guards));
        flash.body.insert(1, liquidate());
        let with_budget = flash.instructions().unwrap();
        let without = flash.after_the_budget(Format::V1).unwrap();
        assert_eq!(with_budget.len(), without.len() + 2);
        for instructions in [with_budget, without] {
            let position = |program| instructions.iter().position(|ix| ix.program_id == program);
            let borrow = position(klend::PROGRAM_ID).unwrap();
            let repay = instructions.len() - 1;
            let (open, settle) = (&instructions[borrow + 1], &instructions[repay - 1]);
            assert_eq!(position(key(21)), Some(borrow - 1));
            assert_eq!(position(key(24)), Some(repay - 2));
            assert_eq!(open.accounts, settle.accounts);
            assert_eq!(open.accounts.last(), Some(&AccountMeta::new_readonly(key(30), false)));
            assert_eq!(settle.data, Settle::DISCRIMINATOR);
            assert_eq!(
                args::<OpenArgs>(&open.data),
                OpenArgs {
                    flash_borrow_index: borrow as u8,
                    flash_repay_index: repay as u8,
                    settle_index: repay as u8 - 1,
                    bracket_bump: bracket(&key(1)).1,
                    min_profit: 5,
                    deadline_slot: 9,
                    max_lamports_spent: 7,
                    max_losses: vec![11],
                }
            );
            assert_eq!(instructions[repay].data.last(), Some(&(borrow as u8)));

            let liquidate = args::<LiquidateArgs>(&instructions[borrow + 3].data);
            assert_eq!(usize::from(liquidate.flash_borrow_index), borrow);
            assert_eq!(usize::from(liquidate.flash_repay_index), repay);
            assert_eq!((liquidate.min_profit, liquidate.swap_authority_bump), (-3, 6));
        }
    }

    #[test]
    fn a_second_bracket_and_broken_arguments_are_refused() {
        let reserve = reserve();
        let mut flash = flash(&reserve, Guards::DebtAccountOnly);
        let ours = |data: &[u8]| Instruction {
            program_id: PROGRAM_ID,
            accounts: vec![],
            data: data.to_vec(),
        };
        for discriminator in [Open::DISCRIMINATOR, Settle::DISCRIMINATOR] {
            flash.body[2] = ours(discriminator);
            let error = flash.instructions().unwrap_err();
            assert!(matches!(error, GuardedFlashError::BracketInBody { index: 2 }), "{error}");
        }
        let mut data = liquidate().data;
        data.push(0);
        flash.body[2] = ours(&data);
        let error = flash.instructions().unwrap_err();
        assert!(matches!(error, GuardedFlashError::MalformedLiquidate { index: 2 }), "{error}");
    }

    #[test]
    fn every_token_account_that_the_body_writes_is_guarded() {
        let token_account = |owner: Address, state: u8| {
            let mut data = [key(60).to_bytes(), owner.to_bytes()].concat();
            data.resize(165, 0);
            data[108] = state;
            (token::TOKEN_PROGRAM_ID, data)
        };
        let read = |at: &Address| match at.as_ref()[0] {
            2 | 30..40 => Some(token_account(key(1), 1)),
            40 => Some(token_account(key(9), 1)),
            41 => Some((key(8), token_account(key(1), 1).1)),
            42 => Some((token::TOKEN_2022_PROGRAM_ID, vec![1; 82])),
            43 => Some(token_account(key(1), 0)),
            _ => None,
        };
        let body = |writable: std::ops::Range<u8>| {
            let mut accounts: Vec<_> =
                writable.map(|at| AccountMeta::new(key(at), false)).collect();
            accounts.extend([AccountMeta::new(key(2), false), AccountMeta::new(key(30), false)]);
            accounts.push(AccountMeta::new_readonly(key(39), false));
            vec![other(22), Instruction { accounts, ..other(23) }]
        };
        let guards = |writable| derive_guards(&key(1), &key(2), &body(writable), read);
        let found = guards(40..45).unwrap();
        assert_eq!(found, [Guard { account: key(30), max_loss: 0 }]);
        assert_eq!(guards(30..38).unwrap().len(), MAX_GUARDS);
        let error = guards(30..39).unwrap_err().to_string();
        assert_eq!(error, "guarded token accounts: 9, at most 8 can be encoded");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        let reserve = reserve();
        let guard = Guard { account: key(30), max_loss: 0 };
        let guards = [guard; MAX_GUARDS + 1];
        let error = flash(&reserve, Guards::These(&guards)).instructions().unwrap_err();
        assert_eq!(error.to_string(), "guarded token accounts: 9, at most 8 can be encoded");
        let error = flash(&reserve, Guards::These(&[])).instructions().unwrap_err();
        assert!(matches!(error, GuardedFlashError::NoGuards), "{error}");

        let mut flash = flash(&reserve, Guards::DebtAccountOnly);
        flash.body = vec![other(22); 300];
        let error = flash.instructions().unwrap_err().to_string();
        assert_eq!(error, "instructions up to the repay: 307, at most 255 can be encoded");

        flash.body = vec![Instruction { data: vec![0; 1_200], ..other(22) }];
        let error = flash.compile_v0(&[], Hash::default()).unwrap_err();
        let named = error.to_string();
        assert!(matches!(error, GuardedFlashError::Budget(BudgetError::Bytes { .. })), "{named}");
        assert!(named.contains(&format!("of {} takes", key(22))), "{named}");
        let (_, budget) = flash.compile_v1(Hash::default()).unwrap();
        assert_eq!((budget.format, budget.units), (Format::V1, 500_000));
        flash.compute_budget.unit_limit = Some(1_400_001);
        let error = flash.compile_v1(Hash::default()).unwrap_err();
        assert!(
            matches!(error, GuardedFlashError::Budget(BudgetError::UnitLimit { .. })),
            "{error}"
        );
    }
}
