//! Instructions, one file each; what they share is here.

mod deposit;
mod initialize_user;
mod initialize_user_stats;
mod liquidate_perp;
mod liquidate_perp_pnl_for_deposit;
mod liquidate_spot;
mod liquidation;
mod place_and_take_perp_order;
mod settle_pnl;
mod update_user_pool_id;
mod withdraw;

use liquidation::Liquidation;
use solana_program::{
    account_info::AccountInfo,
    instruction::{AccountMeta, Instruction},
    program::{invoke, invoke_signed},
    pubkey::Pubkey,
    rent::Rent,
    sysvar::Sysvar,
};
use solana_system_interface::instruction::create_account;

use crate::{
    Exchange, VAULT_SEED,
    error::{Error, Result, require},
    markets::Rest,
    state::{Layout, SpotMarket, State, User, UserStats},
};

/// First bytes of instruction data, `sha256("global:<name>")[..8]`.
mod ix {
    pub const INITIALIZE_USER_STATS: [u8; 8] = [254, 243, 72, 98, 251, 130, 168, 213];
    pub const INITIALIZE_USER: [u8; 8] = [111, 17, 185, 250, 60, 122, 38, 254];
    pub const DEPOSIT: [u8; 8] = [242, 35, 198, 137, 82, 225, 242, 182];
    pub const WITHDRAW: [u8; 8] = [183, 18, 70, 156, 148, 109, 161, 34];
    pub const LIQUIDATE_PERP: [u8; 8] = [75, 35, 119, 247, 191, 18, 139, 2];
    pub const LIQUIDATE_SPOT: [u8; 8] = [107, 0, 128, 41, 35, 229, 251, 18];
    pub const LIQUIDATE_PERP_PNL_FOR_DEPOSIT: [u8; 8] = [237, 75, 198, 235, 233, 186, 75, 35];
    pub const PLACE_AND_TAKE_PERP_ORDER: [u8; 8] = [213, 51, 1, 187, 108, 220, 230, 224];
    pub const PLACE_AND_TAKE_PERP_ORDER_V1: [u8; 8] = [168, 73, 91, 161, 18, 41, 252, 94];
    pub const SETTLE_PNL: [u8; 8] = [43, 61, 234, 45, 15, 95, 152, 153];
    pub const UPDATE_USER_POOL_ID: [u8; 8] = [219, 86, 73, 106, 56, 218, 128, 109];
}

/// Runs the instruction that the data's discriminator names.
///
/// 3007 when an account is of the exchange that is not played.
pub fn process(program: &Pubkey, accounts: &[AccountInfo], data: &[u8]) -> Result<()> {
    let exchange = Exchange::of(program).ok_or(Error::InvalidProgramId)?;
    for account in accounts {
        let is_foreign = Exchange::of(account.owner).is_some_and(|of| of != exchange);
        require(!is_foreign, Error::AccountOwnedByWrongProgram)?;
    }
    let (kind, args) = data.split_first_chunk::<8>().ok_or(Error::InstructionFallbackNotFound)?;
    let args = &mut Args(args);
    match *kind {
        ix::INITIALIZE_USER_STATS => initialize_user_stats::process(exchange, accounts),
        ix::INITIALIZE_USER => initialize_user::process(exchange, accounts, args),
        ix::DEPOSIT => deposit::process(accounts, args),
        ix::WITHDRAW => withdraw::process(accounts, args),
        ix::LIQUIDATE_PERP => liquidate_perp::process(accounts, args),
        ix::LIQUIDATE_SPOT => liquidate_spot::process(exchange, accounts, args),
        ix::LIQUIDATE_PERP_PNL_FOR_DEPOSIT => {
            liquidate_perp_pnl_for_deposit::process(accounts, args)
        }
        ix::PLACE_AND_TAKE_PERP_ORDER => {
            place_and_take_perp_order::process(exchange, accounts, args, false)
        }
        ix::PLACE_AND_TAKE_PERP_ORDER_V1 if exchange == Exchange::Velocity => {
            place_and_take_perp_order::process(exchange, accounts, args, true)
        }
        ix::SETTLE_PNL => settle_pnl::process(accounts, args),
        ix::UPDATE_USER_POOL_ID => update_user_pool_id::process(accounts, args),
        _ => Err(Error::InstructionFallbackNotFound.into()),
    }
}

/// Arguments that are still to be read, in borsh's encoding.
struct Args<'a>(&'a [u8]);

macro_rules! numbers {
    ($($type:ident)*) => {$(
        fn $type(&mut self) -> Result<$type> {
            self.bytes().map($type::from_le_bytes)
        }
    )*};
}

impl Args<'_> {
    numbers!(u8 u16 u32 u64 u128);

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) =
            self.0.split_first_chunk().ok_or(Error::InstructionDidNotDeserialize)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::InstructionDidNotDeserialize.into()),
        }
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }
}

/// The first `N` accounts and the rest. 3005 when there are fewer.
fn split<'a, 'info, const N: usize>(
    accounts: &'a [AccountInfo<'info>],
) -> Result<(&'a [AccountInfo<'info>; N], Rest<'a, 'info>)> {
    let (accounts, rest) = accounts.split_first_chunk::<N>().ok_or(Error::AccountNotEnoughKeys)?;
    Ok((accounts, rest.iter()))
}

/// 2006 unless the account has the address that the seeds derive.
fn require_derived(account: &AccountInfo, exchange: Exchange, seeds: &[&[u8]]) -> Result<u8> {
    let (expected, bump) = Pubkey::find_program_address(seeds, &exchange.program());
    require(*account.key == expected, Error::ConstraintSeeds)?;
    Ok(bump)
}

fn state(account: &AccountInfo) -> Result<State> {
    let exchange = Exchange::of(account.owner).ok_or(Error::AccountOwnedByWrongProgram)?;
    require_derived(account, exchange, &[exchange.state_seed()])?;
    let mut state = State::load(account)?;
    if exchange == Exchange::Velocity {
        // Where these lie in Velocity's account is not known here.
        let seeds: [&[u8]; 1] = [exchange.signer_seed()];
        state.signer_nonce = Pubkey::find_program_address(&seeds, &exchange.program()).1;
        (state.margin_buffer, state.initial_share, state.taker_fee) = (200, 10_000, (0, 1));
    }
    Ok(state)
}

/// 6024 when what `bit` of the exchange's status stands for is paused.
fn require_running(state: &State, bit: u8) -> Result<()> {
    require(state.paused & bit == 0, Error::ExchangePaused)
}

/// A user's account and its wallet's statistics. 2003 when they do not belong
/// together.
fn user(account: &AccountInfo, stats: &AccountInfo) -> Result<User> {
    require(account.is_writable && stats.is_writable, Error::ConstraintMut)?;
    let user = User::load(account)?;
    let belong = UserStats::load(stats)?.authority == user.authority;
    require(belong, Error::ConstraintRaw)?;
    Ok(user)
}

/// 3010 or 2001 unless the user's wallet signs.
fn require_authority(user: &User, authority: &AccountInfo) -> Result<()> {
    require(authority.is_signer, Error::AccountNotSigner)?;
    require(user.authority == *authority.key, Error::ConstraintHasOne)
}

/// 2006 unless this is the vault of that market.
fn require_vault(state: &AccountInfo, account: &AccountInfo, market: u16) -> Result<()> {
    let exchange = Exchange::of(state.owner).ok_or(Error::AccountOwnedByWrongProgram)?;
    require_derived(account, exchange, &[VAULT_SEED, &market.to_le_bytes()]).map(drop)
}

/// Makes an account at a derived address.
fn create<'info, T: Layout>(
    value: &T,
    exchange: Exchange,
    account: &AccountInfo<'info>,
    payer: &AccountInfo<'info>,
    seeds: &[&[u8]],
) -> Result<()> {
    let bump = [require_derived(account, exchange, seeds)?];
    let len = T::LEN[exchange as usize];
    let rent = Rent::get()?.minimum_balance(len);
    let program = exchange.program();
    let create = create_account(payer.key, account.key, rent, len as u64, &program);
    let seeds: Vec<&[u8]> = seeds.iter().copied().chain([&bump[..]]).collect();
    invoke_signed(&create, &[payer.clone(), account.clone()], &[&seeds])?;
    account.try_borrow_mut_data()?.copy_from_slice(&value.to_bytes(exchange));
    Ok(())
}

const TOKEN_PROGRAMS: [Pubkey; 2] = [
    solana_program::pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
    solana_program::pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"),
];

/// Moves tokens; a Token-2022 mint stands behind the markets. Seeds sign for the
/// authority if there are any.
struct Transfer<'a, 'info> {
    program: &'a AccountInfo<'info>,
    from: &'a AccountInfo<'info>,
    to: &'a AccountInfo<'info>,
    authority: &'a AccountInfo<'info>,
    amount: u64,
}

impl<'info> Transfer<'_, 'info> {
    fn invoke(
        self,
        market: &SpotMarket,
        rest: &mut Rest<'_, 'info>,
        seeds: &[&[&[u8]]],
    ) -> Result<()> {
        const TRANSFER: u8 = 3;
        const TRANSFER_CHECKED: u8 = 12;
        let is_token_2022 = market.token_program_flag & 1 != 0;
        let expected = TOKEN_PROGRAMS[usize::from(is_token_2022)];
        require(*self.program.key == expected, Error::InvalidProgramId)?;
        let mut data = vec![if is_token_2022 { TRANSFER_CHECKED } else { TRANSFER }];
        data.extend(self.amount.to_le_bytes());
        let mut accounts = vec![AccountMeta::new(*self.from.key, false)];
        let mut infos = vec![self.from.clone(), self.to.clone(), self.authority.clone()];
        if is_token_2022 {
            let mint = rest.next().ok_or(Error::AccountNotEnoughKeys)?;
            require(*mint.key == market.mint, Error::ConstraintHasOne)?;
            data.push(market.decimals as u8);
            accounts.push(AccountMeta::new_readonly(*mint.key, false));
            infos.push(mint.clone());
        }
        accounts.push(AccountMeta::new(*self.to.key, false));
        accounts.push(AccountMeta::new_readonly(*self.authority.key, true));
        let instruction = Instruction { program_id: *self.program.key, accounts, data };
        if seeds.is_empty() {
            invoke(&instruction, &infos)
        } else {
            invoke_signed(&instruction, &infos, seeds)
        }
    }
}
