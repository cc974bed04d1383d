//! Mirroring an obligation's deposit or debt as a stake in the reserve's farm.

use solana_program::{
    account_info::AccountInfo,
    instruction::{AccountMeta, Instruction},
    pubkey::Pubkey,
};

use crate::{
    accounts::{check_optional, optional, require_optional_mut, require_program},
    error::{KlendError, Result, require},
    state::{self, FARM_STAKE_SCALE, FARMS_PROGRAM_ID, FarmUserState, Obligation, Reserve},
    token::Authority,
};

/// Discriminator of the farms program's `initialize_user`.
const INITIALIZE_USER: [u8; 8] = [111, 17, 185, 250, 60, 122, 38, 254];
/// Discriminator of the farms program's `set_stake_delegated`.
const SET_STAKE_DELEGATED: [u8; 8] = [73, 171, 184, 75, 30, 56, 198, 223];

/// Which side of a reserve a farm rewards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarmKind {
    Collateral,
    Debt,
}

impl FarmKind {
    /// From an instruction's `mode` argument.
    pub fn from_mode(mode: u8) -> Option<Self> {
        match mode {
            0 => Some(Self::Collateral),
            1 => Some(Self::Debt),
            _ => None,
        }
    }

    /// The reserve's farm of this kind.
    pub fn farm(self, reserve: &Reserve) -> Option<Pubkey> {
        let farm = match self {
            Self::Collateral => reserve.farm_collateral,
            Self::Debt => reserve.farm_debt,
        };
        (farm != Pubkey::default()).then_some(farm)
    }

    /// The stake that the obligation should have: its cTokens, or its debt in
    /// whole units.
    fn stake(self, obligation: &Obligation, reserve: &Pubkey) -> u64 {
        match self {
            Self::Collateral => (obligation.deposits.iter())
                .find(|deposit| deposit.deposit_reserve == *reserve)
                .map_or(0, |deposit| deposit.deposited_amount),
            Self::Debt => (obligation.borrows.iter())
                .find(|borrow| borrow.borrow_reserve == *reserve)
                .map_or(0, |borrow| borrow.borrowed_amount_sf.fraction().floor()),
        }
    }
}

/// Accounts that tie an obligation to a farm.
pub struct FarmAccounts<'a, 'info> {
    pub user_state: &'a AccountInfo<'info>,
    pub farm: &'a AccountInfo<'info>,
    pub program: &'a AccountInfo<'info>,
}

impl<'a, 'info> FarmAccounts<'a, 'info> {
    /// The kinds of the accounts at the end of an instruction's list, whether
    /// the reserve has a farm or not.
    pub fn check_kinds(user_state: &AccountInfo, program: &AccountInfo) -> Result<()> {
        check_optional::<FarmUserState>(user_state)?;
        require_program(program, &FARMS_PROGRAM_ID)
    }

    /// Whether the accounts that are given are writable.
    pub fn check_writable(user_state: &AccountInfo, farm: &AccountInfo) -> Result<()> {
        require_optional_mut(user_state)?;
        require_optional_mut(farm)
    }

    /// From the accounts at the end of an instruction's list; `None` unless
    /// both optional ones are given.
    pub fn from_optional(
        user_state: &'a AccountInfo<'info>,
        farm: &'a AccountInfo<'info>,
        program: &'a AccountInfo<'info>,
    ) -> Option<Self> {
        Some(Self { user_state: optional(user_state)?, farm: optional(farm)?, program })
    }

    /// Sets the stake to what the obligation holds now, if it differs.
    ///
    /// # Errors
    /// 6120 when the reserve has a farm and its accounts are missing; 6082 for
    /// an obsolete reserve; 6006 when the stake is another obligation's or in
    /// another farm.
    pub fn refresh(
        accounts: Option<Self>,
        kind: FarmKind,
        obligation: &AccountInfo<'info>,
        reserve: &AccountInfo<'info>,
        authority: Authority<'_, 'info>,
    ) -> Result<()> {
        let Some(farm) = kind.farm(&*state::load::<Reserve>(reserve)?) else {
            return Ok(());
        };
        let accounts = accounts.ok_or(KlendError::FarmAccountsMissing)?;
        state::load::<Reserve>(reserve)?.require_not_obsolete()?;
        require(*accounts.farm.key == farm, KlendError::InvalidAccountInput)?;
        // The refresh of a farm alone takes any account for an obligation: an
        // empty one has no stake, anything else makes klend panic.
        let stake = if obligation.data_is_empty() {
            0
        } else {
            let obligation = state::load::<Obligation>(obligation).expect("an obligation");
            kind.stake(&obligation, reserve.key)
        };
        {
            let user_state = state::load::<FarmUserState>(accounts.user_state)?;
            require(
                user_state.delegatee == *obligation.key && user_state.farm_state == farm,
                KlendError::InvalidAccountInput,
            )?;
            if user_state.active_stake_scaled.get() == u128::from(stake) * FARM_STAKE_SCALE {
                return Ok(());
            }
        }
        accounts.set_stake(stake, authority)
    }

    fn set_stake(&self, stake: u64, authority: Authority<'_, 'info>) -> Result<()> {
        let account = authority.account();
        let instruction = Instruction {
            program_id: FARMS_PROGRAM_ID,
            accounts: vec![
                AccountMeta::new_readonly(*account.key, true),
                AccountMeta::new(*self.user_state.key, false),
                AccountMeta::new(*self.farm.key, false),
            ],
            data: [&SET_STAKE_DELEGATED[..], &stake.to_le_bytes()].concat(),
        };
        let infos =
            [account.clone(), self.user_state.clone(), self.farm.clone(), self.program.clone()];
        authority.invoke(&instruction, &infos)
    }

    /// Creates the obligation's stake account in the farm.
    pub fn initialize_user(
        &self,
        payer: &AccountInfo<'info>,
        owner: &AccountInfo<'info>,
        obligation: &AccountInfo<'info>,
        rent: &AccountInfo<'info>,
        system_program: &AccountInfo<'info>,
        authority: Authority<'_, 'info>,
    ) -> Result<()> {
        let account = authority.account();
        let instruction = Instruction {
            program_id: FARMS_PROGRAM_ID,
            accounts: vec![
                AccountMeta::new_readonly(*account.key, true),
                AccountMeta::new(*payer.key, true),
                AccountMeta::new_readonly(*owner.key, false),
                AccountMeta::new_readonly(*obligation.key, false),
                AccountMeta::new(*self.user_state.key, false),
                AccountMeta::new(*self.farm.key, false),
                AccountMeta::new_readonly(*system_program.key, false),
                AccountMeta::new_readonly(*rent.key, false),
            ],
            data: INITIALIZE_USER.to_vec(),
        };
        let infos = [
            account.clone(),
            payer.clone(),
            owner.clone(),
            obligation.clone(),
            self.user_state.clone(),
            self.farm.clone(),
            system_program.clone(),
            rent.clone(),
            self.program.clone(),
        ];
        authority.invoke(&instruction, &infos)
    }
}
