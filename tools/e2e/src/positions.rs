//! Positions in klend, opened and changed as their owners would.

use anyhow::{Context, Result, ensure};
use flash_liquidator_client::{
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    klend::{self, FarmMode, ObligationAddresses, ObligationKind, ReserveAddresses},
    token::{associated_token_account, create_associated_token_account},
};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::chain::Chain;

/// What a position begins with.
#[derive(Clone, Copy)]
pub struct Opening {
    /// Reserve of the collateral.
    pub collateral: ReserveAddresses,
    /// Reserve of the debt.
    pub debt: ReserveAddresses,
    /// Units of collateral, which the owner has.
    pub deposited: u64,
    /// Units of debt.
    pub borrowed: u64,
}

impl Opening {
    /// Where the position is.
    pub fn obligation(&self, owner: &Address) -> Address {
        ObligationKind::Vanilla { id: 0 }.address(owner, &self.collateral.lending_market)
    }

    /// Opens it, one transaction after the other.
    pub fn of(&self, chain: &Chain, owner: &Keypair) -> Result<Address> {
        let steps = self.steps(&owner.pubkey());
        for (step, what) in steps.iter().zip(["obligation", "deposit", "borrow"]) {
            chain.send(step, &[owner]).context(what)?;
        }
        let arrived = chain.tokens(&held(&owner.pubkey(), &self.debt))?;
        ensure!(arrived == self.borrowed, "the loan did not arrive");
        Ok(self.obligation(&owner.pubkey()))
    }

    /// Three transactions that open it.
    pub fn steps(&self, owner: &Address) -> [Vec<Instruction>; 3] {
        let (market, obligation) = (self.collateral.lending_market, self.obligation(owner));
        let program = &self.debt.liquidity_token_program;
        let stake = |reserve: &ReserveAddresses, mode: FarmMode| {
            klend::init_obligation_farm(owner, owner, &obligation, reserve, mode)
        };
        let mut creation = vec![
            klend::init_user_metadata(owner, owner, None),
            klend::init_obligation(owner, owner, &market, ObligationKind::Vanilla { id: 0 }),
            create_associated_token_account(owner, owner, &self.debt.liquidity_mint, program),
        ];
        creation.extend(stake(&self.collateral, FarmMode::Collateral));
        creation.extend(stake(&self.debt, FarmMode::Debt));
        let deposits = self.deposits_more(owner, &[], &[], self.deposited);
        [generously(creation), deposits, self.borrows_more(owner, &[], self.borrowed)]
    }

    /// Deposits; the reserves are those that the obligation uses already.
    pub fn deposits_more(
        &self,
        owner: &Address,
        deposits: &[Address],
        borrows: &[Address],
        amount: u64,
    ) -> Vec<Instruction> {
        let (collateral, obligation) = (&self.collateral, self.obligation(owner));
        let mut instructions = vec![klend::refresh_reserve(collateral)];
        if !borrows.is_empty() {
            instructions.push(klend::refresh_reserve(&self.debt));
        }
        let market = &collateral.lending_market;
        let source = held(owner, collateral);
        instructions.extend([
            klend::refresh_obligation(market, &obligation, deposits, borrows, &[]),
            klend::deposit(owner, &obligation, collateral, &source, amount),
        ]);
        generously(instructions)
    }

    /// Borrows; `borrows` are the reserves that are owed to already.
    pub fn borrows_more(
        &self,
        owner: &Address,
        borrows: &[Address],
        amount: u64,
    ) -> Vec<Instruction> {
        let (collateral, debt) = (&self.collateral, &self.debt);
        let addresses = ObligationAddresses {
            obligation: self.obligation(owner),
            lending_market: collateral.lending_market,
            owner: *owner,
            deposit_reserves: vec![collateral.reserve],
            borrow_reserves: borrows.to_vec(),
            referrer: None,
            elevation_group: 0,
        };
        let obligation = &addresses.obligation;
        let (market, deposits) = (&addresses.lending_market, &addresses.deposit_reserves);
        generously(vec![
            klend::refresh_reserve(collateral),
            klend::refresh_reserve(debt),
            klend::refresh_obligation(market, obligation, deposits, borrows, &[]),
            klend::borrow(&addresses, debt, &held(owner, debt), amount),
        ])
    }
}

/// Where somebody holds a reserve's token.
pub fn held(owner: &Address, reserve: &ReserveAddresses) -> Address {
    associated_token_account(owner, &reserve.liquidity_mint, &reserve.liquidity_token_program)
}

/// What sets a scene is not what is being measured.
fn generously(instructions: Vec<Instruction>) -> Vec<Instruction> {
    let budget = ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 0 };
    budget.instructions().into_iter().chain(instructions).collect()
}
