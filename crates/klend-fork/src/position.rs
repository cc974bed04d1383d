//! Positions, opened with klend's own instructions.

use flash_liquidator_client::{
    compute_budget::{ComputeBudget, MAX_COMPUTE_UNITS},
    klend::{self, FarmMode, ObligationKind},
};
use klend_model::keys::address;
use solana_address::Address;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{error::ForkError, send::Outcome, world::World};

/// A position to open.
#[derive(Clone, Debug)]
pub struct Position<'a> {
    /// Which of the owner's obligations.
    pub kind: ObligationKind,
    /// Reserves and liquidity units to deposit, in order.
    pub deposits: &'a [(Address, u64)],
    /// Reserves and liquidity units to borrow, in order.
    pub borrows: &'a [(Address, u64)],
    /// Elevation group to enter between the two; 0 for none.
    pub elevation_group: u8,
}

impl<'a> Position<'a> {
    /// The owner's first obligation, in no elevation group.
    #[must_use]
    pub fn new(deposits: &'a [(Address, u64)], borrows: &'a [(Address, u64)]) -> Self {
        Self { kind: ObligationKind::Vanilla { id: 0 }, deposits, borrows, elevation_group: 0 }
    }

    /// The same in an elevation group.
    #[must_use]
    pub fn in_group(self, elevation_group: u8) -> Self {
        Self { elevation_group, ..self }
    }

    /// The same as another of the owner's obligations.
    #[must_use]
    pub fn with_kind(self, kind: ObligationKind) -> Self {
        Self { kind, ..self }
    }
}

impl World {
    /// Opens a position with klend's instructions, as its owner would: user
    /// metadata, obligation, stakes in farms, deposits, elevation group, borrows.
    /// The deposited tokens come out of nowhere; the borrowed ones end in the
    /// owner's associated token accounts. Returns the obligation, refreshed.
    ///
    /// # Errors
    /// [`ForkError::Failed`] when klend refuses a step; [`ForkError::Unexpected`]
    /// for a position without deposits.
    pub fn open_position(
        &mut self,
        owner: &Keypair,
        position: &Position,
    ) -> Result<Address, ForkError> {
        let Some((first, _)) = position.deposits.first() else {
            return Err(ForkError::Unexpected {
                what: "position of",
                key: owner.pubkey(),
                reason: "nothing is deposited".to_owned(),
            });
        };
        let market = *address(&self.reserve(first)?.lending_market);
        let obligation = self.open_obligation(owner, &market, position.kind)?;
        for (reserve, _) in position.deposits {
            self.open_stake(owner, &obligation, reserve, FarmMode::Collateral)?;
        }
        for (reserve, _) in position.borrows {
            self.open_stake(owner, &obligation, reserve, FarmMode::Debt)?;
        }
        for (reserve, amount) in position.deposits {
            self.deposit(owner, &obligation, reserve, *amount)?;
        }
        if position.elevation_group != 0 {
            self.request_elevation_group(owner, &obligation, position.elevation_group)?;
        }
        for (reserve, amount) in position.borrows {
            self.borrow(owner, &obligation, reserve, *amount)?;
        }
        self.refresh(&obligation)?;
        Ok(obligation)
    }

    /// Makes an empty obligation, and the owner's user metadata if there is none.
    ///
    /// # Errors
    /// [`ForkError::Failed`].
    pub fn open_obligation(
        &mut self,
        owner: &Keypair,
        market: &Address,
        kind: ObligationKind,
    ) -> Result<Address, ForkError> {
        let key = owner.pubkey();
        let mut instructions = Vec::new();
        if self.account(&klend::user_metadata(&key)).is_none() {
            instructions.push(klend::init_user_metadata(&key, &key, None));
        }
        instructions.push(klend::init_obligation(&key, &key, market, kind));
        self.send_generously(&instructions, owner)?;
        Ok(kind.address(&key, market))
    }

    /// Makes the obligation's stake in a farm of the reserve, unless the reserve
    /// has no such farm or the stake is there. A liquidation needs it even for an
    /// obligation that never staked.
    ///
    /// # Errors
    /// [`ForkError::Failed`].
    pub fn open_stake(
        &mut self,
        payer: &Keypair,
        obligation: &Address,
        reserve: &Address,
        mode: FarmMode,
    ) -> Result<(), ForkError> {
        let reserve = self.reserve_addresses(reserve)?;
        let owner = self.obligation_addresses(obligation)?.owner;
        let exists = |farm| self.account(&klend::farm_user_state(&farm, obligation)).is_some();
        if mode.farm(&reserve).is_none_or(exists) {
            return Ok(());
        }
        let instruction =
            klend::init_obligation_farm(&payer.pubkey(), &owner, obligation, &reserve, mode);
        self.send_generously(instruction.as_slice(), payer)?;
        Ok(())
    }

    /// Deposits `amount` units of liquidity that come out of nowhere.
    ///
    /// # Errors
    /// [`ForkError::Failed`].
    pub fn deposit(
        &mut self,
        owner: &Keypair,
        obligation: &Address,
        reserve: &Address,
        amount: u64,
    ) -> Result<Outcome, ForkError> {
        let addresses = self.reserve_addresses(reserve)?;
        let source = self.give(&owner.pubkey(), &addresses.liquidity_mint, amount)?;
        self.open_stake(owner, obligation, reserve, FarmMode::Collateral)?;
        self.refresh(obligation)?;
        self.refresh_reserve(reserve)?;
        let instruction = klend::deposit(&owner.pubkey(), obligation, &addresses, &source, amount);
        self.send_generously(&[instruction], owner)
    }

    /// Borrows `amount` units into the owner's associated token account.
    ///
    /// # Errors
    /// [`ForkError::Failed`]: klend's 6013 and the like when there is not enough
    /// collateral.
    pub fn borrow(
        &mut self,
        owner: &Keypair,
        obligation: &Address,
        reserve: &Address,
        amount: u64,
    ) -> Result<Outcome, ForkError> {
        let addresses = self.reserve_addresses(reserve)?;
        let destination = self.open_token_account(&owner.pubkey(), &addresses.liquidity_mint)?;
        self.open_stake(owner, obligation, reserve, FarmMode::Debt)?;
        self.refresh(obligation)?;
        self.refresh_reserve(reserve)?;
        let obligation = self.obligation_addresses(obligation)?;
        let instruction = klend::borrow(&obligation, &addresses, &destination, amount);
        self.send_generously(&[instruction], owner)
    }

    /// Moves an obligation into an elevation group; 0 leaves.
    ///
    /// # Errors
    /// [`ForkError::Failed`].
    pub fn request_elevation_group(
        &mut self,
        owner: &Keypair,
        obligation: &Address,
        group: u8,
    ) -> Result<Outcome, ForkError> {
        self.refresh(obligation)?;
        let obligation = self.obligation_addresses(obligation)?;
        self.send_generously(&[klend::request_elevation_group(&obligation, group)], owner)
    }

    /// Refreshes a reserve: interest up to this slot, price from the oracle.
    ///
    /// # Errors
    /// [`ForkError::Failed`].
    pub fn refresh_reserve(&mut self, reserve: &Address) -> Result<Outcome, ForkError> {
        let instruction = klend::refresh_reserve(&self.reserve_addresses(reserve)?);
        let payer = self.actor("crank");
        self.send_generously(&[instruction], &payer)
    }

    /// Refreshes an obligation and, before it, each of its reserves.
    ///
    /// # Errors
    /// [`ForkError::Failed`].
    pub fn refresh(&mut self, obligation: &Address) -> Result<Outcome, ForkError> {
        let addresses = self.obligation_addresses(obligation)?;
        for reserve in addresses.distinct_reserves() {
            self.refresh_reserve(&reserve)?;
        }
        let referrer_token_states = self.referrer_token_states(obligation)?;
        let referrer_token_states: Vec<Address> =
            referrer_token_states.iter().map(|state| state.address).collect();
        let instruction = klend::refresh_obligation(
            &addresses.lending_market,
            obligation,
            &addresses.deposit_reserves,
            &addresses.borrow_reserves,
            &referrer_token_states,
        );
        let payer = self.actor("crank");
        self.send_generously(&[instruction], &payer)
    }

    /// The referrer states that a refresh of the obligation wants
    /// ([`ObligationAddresses::referrer_token_states`](klend::ObligationAddresses::referrer_token_states)).
    ///
    /// # Errors
    /// [`ForkError`] when the obligation, its market or a reserve is not there.
    pub fn referrer_token_states(
        &self,
        obligation: &Address,
    ) -> Result<Vec<klend::ReferrerState>, ForkError> {
        let addresses = self.obligation_addresses(obligation)?;
        let market = self.lending_market(&addresses.lending_market)?;
        let borrow_reserves = addresses
            .borrow_reserves
            .iter()
            .map(|key| self.reserve(key))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(addresses.referrer_token_states(&market, &borrow_reserves))
    }

    /// Sends with as many compute units as a transaction may have: what sets a
    /// scene is not what is being measured.
    fn send_generously(
        &mut self,
        instructions: &[Instruction],
        payer: &Keypair,
    ) -> Result<Outcome, ForkError> {
        let budget = ComputeBudget { unit_limit: Some(MAX_COMPUTE_UNITS), unit_price: 0 };
        let instructions: Vec<_> =
            budget.instructions().into_iter().chain(instructions.iter().cloned()).collect();
        self.send(&instructions, &[payer])
    }
}
