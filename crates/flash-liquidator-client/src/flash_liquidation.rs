//! The whole sequence of one flash liquidation, in the order klend forces:
//! borrow, refresh what the borrow made stale, liquidate, repay.
//!
//! [`Order`](crate::order::Order) makes one from a quote;
//! [`FlashLiquidation::compile`] ends in a message that is ready to be signed, or
//! in the reason why it would be dropped.

use solana_address::Address;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::{AddressLookupTableAccount, VersionedMessage, v0};

use crate::{
    budget::{self, Budget, BudgetError, Format},
    compute_budget::ComputeBudget,
    klend::{
        self, FarmMode, FlashLoan, LiquidateAccounts, ObligationAddresses, ObligationFarms,
        ReferrerState, ReserveAddresses,
    },
    lookup_table,
    nonce::DurableNonce,
    receiver::{self, BuildError, FlashIndexes, Route, Terms, byte},
    tip::Tip,
    token::{TOKEN_PROGRAM_ID, associated_token_account, create_associated_token_account},
};

/// How reserves are refreshed. All ways cost about the same compute units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refresh {
    /// Whatever takes fewest bytes: a batch, unless there is one reserve only.
    #[default]
    Smallest,
    /// One `refresh_reserves_batch`.
    Batch,
    /// A `refresh_reserve` for each.
    Each,
}

/// The keeper's token accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperAccounts {
    /// Of the debt mint: the loan arrives and is repaid here, the profit stays.
    pub debt: Address,
    /// Of the withdraw reserve's cToken mint.
    pub ctoken: Address,
    /// Of the collateral mint.
    pub collateral: Address,
}

impl KeeperAccounts {
    /// The keeper's associated token accounts.
    #[must_use]
    pub fn associated(
        keeper: &Address,
        repay: &ReserveAddresses,
        withdraw: &ReserveAddresses,
    ) -> Self {
        let liquidity = |reserve: &ReserveAddresses| {
            associated_token_account(
                keeper,
                &reserve.liquidity_mint,
                &reserve.liquidity_token_program,
            )
        };
        Self {
            debt: liquidity(repay),
            ctoken: associated_token_account(keeper, &withdraw.ctoken_mint, &TOKEN_PROGRAM_ID),
            collateral: liquidity(withdraw),
        }
    }
}

/// One flash liquidation: everything that its instructions depend on.
#[derive(Clone, Debug)]
pub struct FlashLiquidation<'a> {
    /// Signer, borrower and liquidator.
    pub keeper: Address,
    /// The keeper's token accounts ([`KeeperAccounts::associated`]).
    pub keeper_accounts: KeeperAccounts,
    /// Obligation to liquidate.
    pub obligation: &'a ObligationAddresses,
    /// Addresses of every reserve of the obligation, in any order; others are ignored.
    pub reserves: &'a [ReserveAddresses],
    /// The obligation's referrer states
    /// ([`ObligationAddresses::referrer_token_states`]).
    pub referrer_token_states: &'a [ReferrerState],
    /// Reserve of the debt to repay.
    pub repay_reserve: Address,
    /// Reserve of the collateral to seize.
    pub withdraw_reserve: Address,
    /// Reserve that lends; of the debt's mint, in any market.
    pub flash_reserve: &'a ReserveAddresses,
    /// Principal of the flash loan, debt units.
    pub flash_amount: u64,
    /// The market's permissioning authority, whose signature the transaction then needs,
    /// where klend wants it for liquidations.
    pub permissioner: Option<Address>,
    /// What the keeper signs for.
    pub terms: Terms,
    /// How the collateral becomes the debt token.
    pub route: Option<Route>,
    /// Compute-unit limit and price.
    pub compute_budget: ComputeBudget,
    /// Prices written before they are read ([`scope`](crate::scope)): with nothing but
    /// the compute budget in front. Excludes [`nonce`](Self::nonce).
    pub price_refresh: Option<Instruction>,
    /// Instructions before the loan: token accounts that are missing, mostly.
    pub setup: Vec<Instruction>,
    /// How reserves are refreshed.
    pub refresh: Refresh,
    /// A durable nonce instead of a recent blockhash. Demands
    /// [`Terms::deadline_slot`].
    pub nonce: Option<DurableNonce>,
    /// A tip, paid after everything else.
    pub tip: Option<Tip>,
}

/// A message that is ready to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The message.
    pub message: VersionedMessage,
    /// What the transaction takes.
    pub budget: Budget,
    /// The instructions it was made of.
    pub instructions: Vec<Instruction>,
}

/// Why no transaction comes of a liquidation.
#[derive(Debug, thiserror::Error)]
pub enum LiquidationError {
    /// Its instructions cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// It would be dropped.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// It fits neither format.
    #[error("neither format fits: as v0, {v0}; as v1, {v1}")]
    Neither {
        /// Why not v0.
        v0: Box<BudgetError>,
        /// Why not v1.
        v1: Box<BudgetError>,
    },
}

/// An account that has to exist before the liquidation, and can be created by
/// anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// An associated token account.
    TokenAccount {
        /// Its address.
        address: Address,
        /// Keeper or swap authority.
        owner: Address,
        /// Its mint.
        mint: Address,
        /// Token program of the mint.
        token_program: Address,
    },
    /// The obligation's stake in a reserve's farm. klend wants it even of an
    /// obligation that was opened before the reserve had the farm.
    FarmStake {
        /// Its address.
        address: Address,
        /// Owner of the obligation.
        owner: Address,
        /// The obligation.
        obligation: Address,
        /// The reserve.
        reserve: Box<ReserveAddresses>,
        /// Which of its farms.
        mode: FarmMode,
    },
    /// Where the referrer of the obligation's owner earns. klend wants it from when the
    /// reserve pays referrers, be the debt as old as it may.
    ReferrerState {
        /// Its address.
        address: Address,
        /// The market of the reserve.
        lending_market: Address,
        /// The reserve.
        reserve: Address,
        /// Who earns.
        referrer: Address,
    },
}

impl Requirement {
    /// The account's address.
    #[must_use]
    pub const fn address(&self) -> Address {
        match self {
            Self::TokenAccount { address, .. }
            | Self::FarmStake { address, .. }
            | Self::ReferrerState { address, .. } => *address,
        }
    }

    /// Creates it at `payer`'s cost. For a token account this succeeds when it is
    /// there already.
    #[must_use]
    pub fn create(&self, payer: &Address) -> Option<Instruction> {
        match self {
            Self::TokenAccount { owner, mint, token_program, .. } => {
                Some(create_associated_token_account(payer, owner, mint, token_program))
            }
            Self::FarmStake { owner, obligation, reserve, mode, .. } => {
                klend::init_obligation_farm(payer, owner, obligation, reserve, *mode)
            }
            Self::ReferrerState { lending_market, reserve, referrer, .. } => {
                Some(klend::init_referrer_token_state(payer, lending_market, reserve, referrer))
            }
        }
    }
}

impl FlashLiquidation<'_> {
    /// The instructions of a v0 transaction, in order.
    ///
    /// # Errors
    /// [`BuildError`]: a reserve of the obligation is not among `reserves`, a
    /// durable nonce has no deadline or stands beside a price refresh, or something does
    /// not fit its byte.
    pub fn instructions(&self) -> Result<Vec<Instruction>, BuildError> {
        self.instructions_of(Format::V0)
    }

    /// The instructions of a transaction in that format: a v1 header takes the
    /// place of the compute budget's instructions.
    ///
    /// # Errors
    /// As [`Self::instructions`].
    pub fn instructions_of(&self, format: Format) -> Result<Vec<Instruction>, BuildError> {
        let obligation = self.obligation;
        let repay_reserve = self.reserve(&self.repay_reserve)?;
        let withdraw_reserve = self.reserve(&self.withdraw_reserve)?;
        let loan = FlashLoan {
            reserve: self.flash_reserve,
            borrower: self.keeper,
            token_account: self.keeper_accounts.debt,
            referrer: None,
        };

        let mut instructions = Vec::new();
        if let Some(nonce) = &self.nonce {
            if self.terms.deadline_slot == 0 {
                return Err(BuildError::NonceWithoutDeadline { account: nonce.account });
            }
            if self.price_refresh.is_some() {
                return Err(BuildError::NonceWithPriceRefresh { account: nonce.account });
            }
            instructions.push(nonce.advance());
        }
        if format == Format::V0 {
            instructions.extend(self.compute_budget.instructions());
        }
        instructions.extend(self.price_refresh.iter().chain(&self.setup).cloned());
        let borrow_index = byte("instructions before the loan", instructions.len())?;
        instructions.push(klend::flash_borrow(&loan, self.flash_amount));

        let reserves = obligation
            .distinct_reserves()
            .iter()
            .map(|key| self.reserve(key))
            .collect::<Result<Vec<_>, _>>()?;
        let batched = match self.refresh {
            Refresh::Smallest => reserves.len() > 1,
            Refresh::Batch => true,
            Refresh::Each => false,
        };
        if batched {
            instructions.push(klend::refresh_reserves_batch(reserves, false));
        } else {
            instructions.extend(reserves.into_iter().map(klend::refresh_reserve));
        }
        instructions.push(klend::refresh_obligation(
            &obligation.lending_market,
            &obligation.obligation,
            &obligation.deposit_reserves,
            &obligation.borrow_reserves,
            &self.referrer_token_states.iter().map(|state| state.address).collect::<Vec<_>>(),
        ));

        let repay_index = byte("instructions up to the repay", instructions.len() + 1)?;
        instructions.push(receiver::liquidate(
            &LiquidateAccounts {
                liquidator: self.keeper,
                obligation: obligation.obligation,
                repay_reserve,
                withdraw_reserve,
                user_debt: self.keeper_accounts.debt,
                user_ctoken: self.keeper_accounts.ctoken,
                user_collateral: self.keeper_accounts.collateral,
                farms: ObligationFarms::read(
                    &obligation.obligation,
                    repay_reserve,
                    withdraw_reserve,
                ),
                deposit_reserves: obligation.liquidation_tail(),
                permissioner: self.permissioner,
            },
            &self.flash_reserve.reserve,
            FlashIndexes { borrow: borrow_index, repay: repay_index },
            &self.terms,
            self.route.as_ref(),
        )?);
        instructions.push(klend::flash_repay(&loan, self.flash_amount, borrow_index));
        instructions.extend(self.tip.iter().map(|tip| tip.instruction(&self.keeper)));
        Ok(instructions)
    }

    /// Compiles the transaction, after holding its bytes, accounts and compute
    /// units against what is allowed.
    ///
    /// `tables` are for v0 alone. `blockhash` gives way to the durable nonce, if
    /// there is one. Without a `format` it is v0 if that fits, and v1 otherwise.
    ///
    /// # Errors
    /// [`LiquidationError`], with who takes most.
    pub fn compile(
        &self,
        tables: &[AddressLookupTableAccount],
        blockhash: Hash,
        format: Option<Format>,
    ) -> Result<Compiled, LiquidationError> {
        let blockhash = self.nonce.map_or(blockhash, |nonce| nonce.state.value);
        match format {
            Some(Format::V0) => self.compile_v0(tables, blockhash),
            Some(Format::V1) => self.compile_v1(blockhash),
            None => match self.compile_v0(tables, blockhash) {
                Err(LiquidationError::Budget(v0)) => match self.compile_v1(blockhash) {
                    Err(LiquidationError::Budget(v1)) => {
                        Err(LiquidationError::Neither { v0: Box::new(v0), v1: Box::new(v1) })
                    }
                    other => other,
                },
                other => other,
            },
        }
    }

    fn compile_v0(
        &self,
        tables: &[AddressLookupTableAccount],
        blockhash: Hash,
    ) -> Result<Compiled, LiquidationError> {
        let instructions = self.instructions_of(Format::V0)?;
        let units = self.compute_budget.unit_limit;
        let budget = budget::check_v0(&self.keeper, &instructions, tables, units)?;
        let message = v0::Message::try_compile(&self.keeper, &instructions, tables, blockhash)
            .map_err(BudgetError::from)?;
        Ok(Compiled { message: VersionedMessage::V0(message), budget, instructions })
    }

    fn compile_v1(&self, blockhash: Hash) -> Result<Compiled, LiquidationError> {
        let instructions = self.instructions_of(Format::V1)?;
        let (message, budget) =
            budget::compile_v1(&self.keeper, &instructions, &self.compute_budget, blockhash)?;
        Ok(Compiled { message, budget, instructions })
    }

    /// What a lookup table for this very transaction holds. The tip's account is
    /// not in it: block builders want it spelled out.
    ///
    /// # Errors
    /// As [`Self::instructions`].
    pub fn lookup_candidates(&self) -> Result<Vec<Address>, BuildError> {
        let mut addresses = lookup_table::candidates(&self.instructions()?, &self.keeper);
        addresses.retain(|address| self.tip.is_none_or(|tip| tip.account != *address));
        Ok(addresses)
    }

    /// Every account that has to exist and that anybody can create: the keeper's
    /// and its swap authority's token accounts, where they are the associated ones,
    /// the obligation's stakes in farms, and its referrer's states that are paid into.
    ///
    /// # Errors
    /// [`BuildError::ReserveMissing`].
    pub fn requirements(&self) -> Result<Vec<Requirement>, BuildError> {
        let repay = self.reserve(&self.repay_reserve)?;
        let withdraw = self.reserve(&self.withdraw_reserve)?;
        let (authority, _) = receiver::swap_authority(&self.keeper);
        let (debt, collateral) = (
            (&repay.liquidity_mint, &repay.liquidity_token_program),
            (&withdraw.liquidity_mint, &withdraw.liquidity_token_program),
        );
        let mut named = vec![
            (self.keeper_accounts.debt, &self.keeper, debt),
            (self.keeper_accounts.ctoken, &self.keeper, (&withdraw.ctoken_mint, &TOKEN_PROGRAM_ID)),
            (self.keeper_accounts.collateral, &self.keeper, collateral),
        ];
        if let Some(route) = &self.route {
            named.push((route.swap_collateral, &authority, collateral));
            named.extend(route.swap_debt.map(|account| (account, &authority, debt)));
            for token in &route.intermediates {
                let mint = (&token.mint, &token.token_program);
                named.push((token.swap_account, &authority, mint));
                named.push((token.keeper_account, &self.keeper, mint));
            }
        }
        let mut requirements: Vec<Requirement> = Vec::new();
        for (address, owner, (mint, token_program)) in named {
            let requirement = Requirement::TokenAccount {
                address,
                owner: *owner,
                mint: *mint,
                token_program: *token_program,
            };
            let is_associated = address == associated_token_account(owner, mint, token_program);
            if is_associated && !requirements.contains(&requirement) {
                requirements.push(requirement);
            }
        }
        let obligation = self.obligation;
        for (reserve, mode) in [(withdraw, FarmMode::Collateral), (repay, FarmMode::Debt)] {
            requirements.extend(mode.farm(reserve).map(|farm| Requirement::FarmStake {
                address: klend::farm_user_state(&farm, &obligation.obligation),
                owner: obligation.owner,
                obligation: obligation.obligation,
                reserve: Box::new(*reserve),
                mode,
            }));
        }
        let paid = self.referrer_token_states.iter().filter(|state| state.is_paid);
        requirements.extend(obligation.referrer.iter().flat_map(|referrer| {
            paid.clone().map(|state| Requirement::ReferrerState {
                address: state.address,
                lending_market: obligation.lending_market,
                reserve: state.reserve,
                referrer: *referrer,
            })
        }));
        Ok(requirements)
    }

    /// Puts the creation of every requirement that does not exist in front of the
    /// loan, at the keeper's cost, unless it is there already.
    ///
    /// # Errors
    /// [`BuildError::ReserveMissing`].
    pub fn create_missing(&mut self, exists: impl Fn(&Address) -> bool) -> Result<(), BuildError> {
        for wanted in self.requirements()? {
            let missing = (!exists(&wanted.address())).then(|| wanted.create(&self.keeper));
            if let Some(creation) = missing.flatten().filter(|new| !self.setup.contains(new)) {
                self.setup.push(creation);
            }
        }
        Ok(())
    }

    fn reserve(&self, key: &Address) -> Result<&ReserveAddresses, BuildError> {
        self.reserves.iter().find(|reserve| reserve.reserve == *key).ok_or(
            BuildError::ReserveMissing { obligation: self.obligation.obligation, reserve: *key },
        )
    }
}
