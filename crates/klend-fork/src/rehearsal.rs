//! A flash liquidation set up in a world: what a keeper would send, ready to be
//! sent, simulated or bent.

use flash_liquidator_client::{
    compute_budget::ComputeBudget,
    flash_liquidation::{FlashLiquidation, KeeperAccounts, Refresh},
    klend::ReserveAddresses,
    lookup_table,
    receiver::{Intermediate, Route, Terms},
};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::AddressLookupTableAccount;
use solana_signer::Signer;

use crate::{error::ForkError, pool::Pool, send::Outcome, world::World};

/// One flash liquidation of one debt and one collateral of an obligation. Every
/// field may be changed before it is sent.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Keeper that will sign.
    pub keeper: Address,
    /// The keeper's token accounts.
    pub keeper_accounts: KeeperAccounts,
    /// Obligation to liquidate.
    pub obligation: Address,
    /// Reserve of the debt.
    pub repay_reserve: Address,
    /// Reserve of the collateral.
    pub withdraw_reserve: Address,
    /// Reserve that lends.
    pub flash_reserve: Address,
    /// Principal of the loan, debt units.
    pub flash_amount: u64,
    /// The market's permissioning authority, where klend wants it; signs as well.
    pub permissioner: Option<Address>,
    /// What the keeper signs for.
    pub terms: Terms,
    /// How collateral becomes debt tokens.
    pub route: Option<Route>,
    /// Compute-unit limit and price.
    pub compute_budget: ComputeBudget,
    /// Prices written before they are read.
    pub price_refresh: Option<Instruction>,
    /// How reserves are refreshed.
    pub refresh: Refresh,
}

impl Rehearsal {
    /// A liquidation funded by the debt's own reserve, without a swap, for as
    /// much as `flash_amount` and klend allow. Opens the keeper's token accounts.
    ///
    /// # Errors
    /// [`ForkError`] when a reserve or a mint is not there.
    pub fn new(
        world: &mut World,
        keeper: &Address,
        obligation: &Address,
        repay_reserve: &Address,
        withdraw_reserve: &Address,
        flash_amount: u64,
    ) -> Result<Self, ForkError> {
        let repay = world.reserve_addresses(repay_reserve)?;
        let withdraw = world.reserve_addresses(withdraw_reserve)?;
        for mint in [&repay.liquidity_mint, &withdraw.liquidity_mint, &withdraw.ctoken_mint] {
            world.open_token_account(keeper, mint)?;
        }
        Ok(Self {
            keeper: *keeper,
            keeper_accounts: KeeperAccounts::associated(keeper, &repay, &withdraw),
            obligation: *obligation,
            repay_reserve: *repay_reserve,
            withdraw_reserve: *withdraw_reserve,
            flash_reserve: *repay_reserve,
            flash_amount,
            permissioner: None,
            terms: Terms::default(),
            route: None,
            compute_budget: ComputeBudget {
                unit_limit: Some(flash_liquidator_client::compute_budget::MAX_COMPUTE_UNITS),
                unit_price: 0,
            },
            price_refresh: None,
            refresh: Refresh::default(),
        })
    }

    /// Sells the collateral through `pools`, one after the other; the last one
    /// pays the keeper's debt account itself. Opens the token accounts the route
    /// needs.
    ///
    /// # Errors
    /// [`ForkError`] when the pools do not lead from collateral to debt.
    pub fn sell_through(mut self, world: &mut World, pools: &[Pool]) -> Result<Self, ForkError> {
        let repay = world.reserve_addresses(&self.repay_reserve)?;
        let withdraw = world.reserve_addresses(&self.withdraw_reserve)?;
        let mut route = Route::new(&self.keeper, &withdraw, &repay);
        let (authority, _) = flash_liquidator_client::receiver::swap_authority(&self.keeper);
        world.open_token_account(&authority, &withdraw.liquidity_mint)?;
        route.swap_debt = None;

        let (mut mint, mut source) = (withdraw.liquidity_mint, route.swap_collateral);
        for (number, pool) in (0u8..).zip(pools) {
            let side = usize::from(pool.mints[0] == mint);
            let output_mint = pool.mints[side];
            let last = usize::from(number) + 1 == pools.len();
            let destination = if last {
                self.keeper_accounts.debt
            } else {
                let token =
                    Intermediate::new(&self.keeper, &output_mint, &pool.token_programs[side]);
                world.open_token_account(&authority, &output_mint)?;
                world.open_token_account(&self.keeper, &output_mint)?;
                route.intermediates.push(token);
                token.swap_account
            };
            route.legs.push(pool.leg(&self.keeper, number, &mint, &source, &destination, 0)?);
            (mint, source) = (output_mint, destination);
        }
        self.route = Some(route);
        Ok(self)
    }

    /// Pays the last leg's output to the swap authority's account instead of the
    /// keeper's, as a router that insists on its signer's account would.
    ///
    /// # Errors
    /// [`ForkError`] when the debt's mint is not there.
    pub fn pay_swap_authority(mut self, world: &mut World) -> Result<Self, ForkError> {
        let repay = world.reserve_addresses(&self.repay_reserve)?;
        let withdraw = world.reserve_addresses(&self.withdraw_reserve)?;
        let own = Route::new(&self.keeper, &withdraw, &repay).swap_debt;
        let (authority, _) = flash_liquidator_client::receiver::swap_authority(&self.keeper);
        world.open_token_account(&authority, &repay.liquidity_mint)?;
        if let (Some(route), Some(own)) = (&mut self.route, own) {
            route.swap_debt = Some(own);
            let metas = route.legs.iter_mut().flat_map(|leg| &mut leg.accounts);
            for meta in metas.filter(|meta| meta.pubkey == self.keeper_accounts.debt) {
                meta.pubkey = own;
            }
        }
        Ok(self)
    }

    /// The instructions, in order: compute budget, borrow, refreshes, liquidate,
    /// repay.
    ///
    /// # Errors
    /// [`ForkError`] when an account is not there or something does not fit.
    pub fn instructions(&self, world: &World) -> Result<Vec<Instruction>, ForkError> {
        let obligation = world.obligation_addresses(&self.obligation)?;
        let reserves = obligation
            .distinct_reserves()
            .iter()
            .map(|key| world.reserve_addresses(key))
            .collect::<Result<Vec<ReserveAddresses>, _>>()?;
        let flash_reserve = world.reserve_addresses(&self.flash_reserve)?;
        Ok(FlashLiquidation {
            keeper: self.keeper,
            keeper_accounts: self.keeper_accounts,
            obligation: &obligation,
            reserves: &reserves,
            referrer_token_states: &world.referrer_token_states(&self.obligation)?,
            repay_reserve: self.repay_reserve,
            withdraw_reserve: self.withdraw_reserve,
            flash_reserve: &flash_reserve,
            flash_amount: self.flash_amount,
            permissioner: self.permissioner,
            terms: self.terms,
            route: self.route.clone(),
            compute_budget: self.compute_budget,
            price_refresh: self.price_refresh.clone(),
            setup: Vec::new(),
            refresh: self.refresh,
            nonce: None,
            tip: None,
        }
        .instructions()?)
    }

    /// Sends it in one v0 transaction with a lookup table made for it.
    ///
    /// # Errors
    /// [`ForkError::Failed`] with the whole outcome; [`ForkError`] when it cannot
    /// be built.
    pub fn send(&self, world: &mut World, keeper: &Keypair) -> Result<Outcome, ForkError> {
        let instructions = self.instructions(world)?;
        let table = world.table_for(&instructions, &keeper.pubkey())?;
        world.send_v0(&instructions, &[keeper], &[table])
    }
}

impl World {
    /// A lookup table of all that `instructions` may look up.
    ///
    /// # Errors
    /// [`ForkError`] when there are more than 256 addresses.
    pub fn table_for(
        &mut self,
        instructions: &[Instruction],
        payer: &Address,
    ) -> Result<AddressLookupTableAccount, ForkError> {
        self.create_lookup_table(&lookup_table::candidates(instructions, payer))
    }
}
