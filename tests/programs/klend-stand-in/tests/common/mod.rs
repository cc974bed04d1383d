//! A klend market in a local virtual machine, made from the fork folder beside
//! the checkout, with whichever klend and farms programs it is given.
//!
//! Every instruction is built by `klend-interface`, klend's own published
//! builders, so a test that passes also shows that the account orders and
//! argument layouts are klend's.

// Each test binary uses its own part of this module.
#![allow(dead_code)]

use std::{collections::BTreeMap, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use klend_interface::{
    FARMS_PROGRAM_ID, KLEND_PROGRAM_ID, TOKEN_PROGRAM_ID, from_account_data, instructions as klend,
    pda,
    state::{LendingMarket, Obligation, Reserve},
};
use litesvm::{LiteSVM, types::TransactionMetadata};
use solana_account::Account;
use solana_address::Address;
use solana_clock::Clock;
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_instruction_v2::Instruction as InstructionV2;
use solana_keypair::Keypair;
use solana_message::Message;
use solana_pubkey_v2::{Pubkey, pubkey};
use solana_signer::Signer;
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;

pub const MARKET: Pubkey = pubkey!("7u3HeHxYDLhnCoErrtycNokbQYbWGzLs6JSDqGAv5PfF");
pub const USDC_RESERVE: Pubkey = pubkey!("D6q6wuQSrifJKZYpR1M8R4YawnLDtDsMmWM1NbBmgJ59");
pub const SOL_RESERVE: Pubkey = pubkey!("d4A2prbA2whesmvHaL88BH6Ewn5N4bTSU2Ze8P6Bc4Q");
pub const JITOSOL_RESERVE: Pubkey = pubkey!("EVbyPKrHG6WBfm4dLxLMJpUDY43cCAcHSpV3KYjKsktW");
pub const SOL_FARM: Pubkey = pubkey!("955xWFhSDcDiUgUr4sBRtCpTLiMd4H5uZLAmgtP3R3sX");
pub const SCOPE_FEED: Pubkey = pubkey!("3NJYftD5sjVfxSnUdZ1wVML8f3aC6mp1CXCL6L7TnU8C");
pub const NATIVE_MINT: Pubkey = pubkey!("So11111111111111111111111111111111111111112");
const TOKEN_2022: Pubkey = pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
const SYSTEM_PROGRAM: Pubkey = Pubkey::new_from_array([0; 32]);
const COMPUTE_BUDGET: Pubkey = pubkey!("ComputeBudget111111111111111111111111111111");

/// Mainnet's later flash fee, 0.001 %; on the snapshot's day it was zero.
pub const FLASH_FEE_SF: u64 = 11_529_215_046_068;

/// Offset of an account's body.
pub const BODY: usize = 8;

pub fn address(key: &Pubkey) -> Address {
    Address::new_from_array(key.to_bytes())
}

pub fn key(address: &Address) -> Pubkey {
    Pubkey::new_from_array(address.to_bytes())
}

fn instruction(from: InstructionV2) -> Instruction {
    Instruction {
        program_id: address(&from.program_id),
        accounts: (from.accounts.iter())
            .map(|meta| AccountMeta {
                pubkey: address(&meta.pubkey),
                is_signer: meta.is_signer,
                is_writable: meta.is_writable,
            })
            .collect(),
        data: from.data,
    }
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Index of the failing instruction (without the compute budget's) and
    /// its error number.
    Custom(u8, u32),
    /// Index of the failing instruction and its error.
    Failed(u8, InstructionError),
    Rejected(String),
}

/// The forwarder of the test programs: klend's accounts, then klend itself.
const FORWARDER: Pubkey = pubkey!("CpiForwarder1111111111111111111111111111111");

/// The same instruction, called by another program.
pub fn through_another_program(mut instruction: InstructionV2) -> InstructionV2 {
    instruction
        .accounts
        .push(solana_instruction_v2::AccountMeta::new_readonly(instruction.program_id, false));
    instruction.program_id = FORWARDER;
    instruction
}

/// Programs of a bed.
#[derive(Clone, Debug)]
pub struct Programs {
    pub klend: PathBuf,
    pub farms: PathBuf,
}

/// The stand-ins as `cargo xtask build` leaves them. Panics when they have not
/// been built: a test run without them would test nothing.
pub fn stand_ins() -> Programs {
    Programs { klend: elf("klend_stand_in.so"), farms: elf("farms_stand_in.so") }
}

fn elf(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../target/deploy").join(name);
    assert!(path.is_file(), "{} is missing: run `cargo xtask build` first", path.display());
    path
}

/// The real programs, when `KLEND_ELF` and `FARMS_ELF` name them; without the
/// latter the farms stand-in serves both.
pub fn real_programs() -> Option<Programs> {
    let klend = PathBuf::from(std::env::var_os("KLEND_ELF")?);
    let farms = std::env::var_os("FARMS_ELF").map_or_else(|| stand_ins().farms, PathBuf::from);
    Some(Programs { klend, farms })
}

/// The main market's folder beside the checkout. Says so when it is absent.
pub fn fork_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../../shared/fork/main-market-2024-10-29");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("no fork folder beside the checkout ({}): not run", folder.display());
    None
}

pub struct Bed {
    pub svm: LiteSVM,
    pub payer: Keypair,
    pub owner: Keypair,
    pub liquidator: Keypair,
    /// Metadata of the last transaction that succeeded.
    pub last: TransactionMetadata,
}

impl Clone for Bed {
    fn clone(&self) -> Self {
        Self {
            svm: self.svm.clone(),
            payer: self.payer.insecure_clone(),
            owner: self.owner.insecure_clone(),
            liquidator: self.liquidator.insecure_clone(),
            last: self.last.clone(),
        }
    }
}

impl Bed {
    /// `None`, with a message, when there is no fork folder.
    pub fn new(programs: &Programs) -> Option<Self> {
        let folder = fork_folder()?;
        let mut svm = LiteSVM::new().with_blockhash_check(false);
        for (id, path) in [
            (KLEND_PROGRAM_ID, &programs.klend),
            (FARMS_PROGRAM_ID, &programs.farms),
            (FORWARDER, &elf("cpi_forwarder.so")),
        ] {
            svm.add_program_from_file(address(&id), path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let manifest: serde_json::Value = read_json(&folder.join("manifest.json"));
        for entry in manifest["accounts"].as_array().unwrap() {
            let name = entry["pubkey"].as_str().unwrap();
            let file = read_json(&folder.join(format!("accounts/{name}.json")));
            svm.set_account(name.parse().unwrap(), parse_account(&file["account"])).unwrap();
        }
        let clock = Clock {
            slot: manifest["slot"].as_u64().unwrap(),
            unix_timestamp: manifest["unix_timestamp"].as_i64().unwrap(),
            ..svm.get_sysvar::<Clock>()
        };
        svm.set_sysvar(&clock);
        let keypair = |seed| Keypair::new_from_array([seed; 32]);
        let mut bed = Self {
            svm,
            payer: keypair(1),
            owner: keypair(2),
            liquidator: keypair(3),
            last: TransactionMetadata::default(),
        };
        for wallet in [&bed.payer, &bed.owner, &bed.liquidator] {
            bed.svm.airdrop(&wallet.pubkey(), 1_000_000_000_000).unwrap();
        }
        bed.rebuild_missing_accounts();
        for reserve in [USDC_RESERVE, SOL_RESERVE, JITOSOL_RESERVE] {
            bed.patch(&reserve, 4896, &FLASH_FEE_SF.to_le_bytes());
        }
        bed.restamp_prices();
        Some(bed)
    }

    /// Mints and vaults that the folder lacks, from what the reserves say; and
    /// the USDC farm as a copy of the SOL farm, which has the same authority.
    fn rebuild_missing_accounts(&mut self) {
        let authority = market_authority();
        if self.svm.get_account(&address(&NATIVE_MINT)).is_none() {
            self.set(NATIVE_MINT, TOKEN_PROGRAM_ID, mint_data(None, 0, 9));
        }
        for key in [USDC_RESERVE, SOL_RESERVE, JITOSOL_RESERVE] {
            let reserve = self.reserve(&key);
            let supply = reserve.collateral.mint_total_supply;
            let missing = |bed: &Self, key: &Pubkey| bed.svm.get_account(&address(key)).is_none();
            if missing(self, &reserve.collateral.mint_pubkey) {
                let data = mint_data(Some(authority), supply, 6);
                self.set(reserve.collateral.mint_pubkey, TOKEN_PROGRAM_ID, data);
            }
            if missing(self, &reserve.collateral.supply_vault) {
                let data = token_data(reserve.collateral.mint_pubkey, authority, supply);
                self.set(reserve.collateral.supply_vault, TOKEN_PROGRAM_ID, data);
            }
            if missing(self, &reserve.liquidity.fee_vault) {
                self.give_tokens(
                    reserve.liquidity.fee_vault,
                    reserve.liquidity.mint_pubkey,
                    authority,
                    0,
                );
            }
            let farm = reserve.farm_collateral;
            if farm != Pubkey::default() && missing(self, &farm) {
                let copy = self.account(&SOL_FARM);
                self.svm.set_account(address(&farm), copy).unwrap();
            }
        }
    }

    pub fn account(&self, key: &Pubkey) -> Account {
        self.svm.get_account(&address(key)).unwrap_or_else(|| panic!("no account {key}"))
    }

    pub fn data(&self, key: &Pubkey) -> Vec<u8> {
        self.svm.get_account(&address(key)).map_or_else(Vec::new, |account| account.data)
    }

    fn set(&mut self, key: Pubkey, owner: Pubkey, data: Vec<u8>) {
        let account = Account {
            lamports: self.svm.minimum_balance_for_rent_exemption(data.len()),
            data,
            owner: address(&owner),
            executable: false,
            rent_epoch: u64::MAX,
        };
        self.svm.set_account(address(&key), account).unwrap();
    }

    /// Overwrites bytes of an account's body.
    pub fn patch(&mut self, key: &Pubkey, offset: usize, bytes: &[u8]) {
        let mut account = self.account(key);
        account.data[BODY + offset..][..bytes.len()].copy_from_slice(bytes);
        self.svm.set_account(address(key), account).unwrap();
    }

    pub fn reserve(&self, key: &Pubkey) -> Reserve {
        *from_account_data::<Reserve>(&self.data(key)).unwrap()
    }

    pub fn market(&self) -> LendingMarket {
        *from_account_data::<LendingMarket>(&self.data(&MARKET)).unwrap()
    }

    pub fn obligation(&self) -> Obligation {
        *from_account_data::<Obligation>(&self.data(&self.obligation_key())).unwrap()
    }

    pub fn clock(&self) -> Clock {
        self.svm.get_sysvar()
    }

    /// Moves the clock; half a second per slot.
    pub fn warp(&mut self, slots: u64) {
        let mut clock = self.clock();
        clock.slot += slots;
        clock.unix_timestamp += i64::try_from(slots / 2).unwrap();
        self.svm.set_sysvar(&clock);
    }

    /// Moves time without slots.
    pub fn wait(&mut self, seconds: i64) {
        let mut clock = self.clock();
        clock.unix_timestamp += seconds;
        self.svm.set_sysvar(&clock);
    }

    /// Dates every Scope price to this moment.
    pub fn restamp_prices(&mut self) {
        let clock = self.clock();
        let mut feed = self.account(&SCOPE_FEED);
        for entry in feed.data[40..].chunks_exact_mut(56) {
            entry[16..24].copy_from_slice(&clock.slot.to_le_bytes());
            entry[24..32].copy_from_slice(&clock.unix_timestamp.to_le_bytes());
        }
        self.svm.set_account(address(&SCOPE_FEED), feed).unwrap();
    }

    /// Multiplies the Scope entries by `numerator / denominator`.
    pub fn scale_prices(&mut self, entries: &[usize], numerator: u64, denominator: u64) {
        let mut feed = self.account(&SCOPE_FEED);
        for index in entries {
            let value = &mut feed.data[40 + 56 * index..][..8];
            let old = u64::from_le_bytes(value.try_into().unwrap());
            let new = u128::from(old) * u128::from(numerator) / u128::from(denominator);
            value.copy_from_slice(&u64::try_from(new).unwrap().to_le_bytes());
        }
        self.svm.set_account(address(&SCOPE_FEED), feed).unwrap();
    }

    /// A token account with the given balance at `at`.
    pub fn give_tokens(&mut self, at: Pubkey, mint: Pubkey, owner: Pubkey, amount: u64) {
        let program = key(&self.account(&mint).owner);
        let mut data = token_data(mint, owner, amount);
        let rent = self.svm.minimum_balance_for_rent_exemption(data.len());
        let is_native = mint == NATIVE_MINT;
        if is_native {
            data[109..113].copy_from_slice(&1u32.to_le_bytes());
            data[113..121].copy_from_slice(&rent.to_le_bytes());
        }
        self.set(at, program, data);
        if is_native {
            let mut account = self.account(&at);
            account.lamports = rent + amount;
            self.svm.set_account(address(&at), account).unwrap();
        }
    }

    /// Moves a reserve's token to Token-2022, its mint with these extensions.
    pub fn make_token_2022(&mut self, reserve: &Pubkey, extensions: &[(u16, Vec<u8>)]) {
        let liquidity = self.reserve(reserve).liquidity;
        for key in [liquidity.mint_pubkey, liquidity.supply_vault, liquidity.fee_vault] {
            let mut account = self.account(&key);
            account.owner = address(&TOKEN_2022);
            self.svm.set_account(address(&key), account).unwrap();
        }
        self.add_extensions(&liquidity.mint_pubkey, 1, extensions);
        self.patch(reserve, 400, TOKEN_2022.as_ref());
    }

    /// Appends extensions to a mint (kind 1) or a token account (kind 2).
    pub fn add_extensions(&mut self, at: &Pubkey, kind: u8, extensions: &[(u16, Vec<u8>)]) {
        if extensions.is_empty() {
            return;
        }
        let mut account = self.account(at);
        account.data.resize(165, 0);
        account.data.push(kind);
        for (number, data) in extensions {
            account.data.extend(number.to_le_bytes());
            account.data.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
            account.data.extend(data);
        }
        account.lamports = self.svm.minimum_balance_for_rent_exemption(account.data.len());
        self.svm.set_account(address(at), account).unwrap();
    }

    /// The wallet's account for a mint.
    pub fn wallet_account(&self, wallet: &Pubkey, mint: &Pubkey) -> Pubkey {
        Pubkey::find_program_address(&[wallet.as_ref(), mint.as_ref()], &SYSTEM_PROGRAM).0
    }

    /// Gives the wallet tokens in its account for the mint and returns it.
    pub fn fund(&mut self, wallet: &Pubkey, mint: &Pubkey, amount: u64) -> Pubkey {
        let at = self.wallet_account(wallet, mint);
        self.give_tokens(at, *mint, *wallet, amount);
        at
    }

    pub fn balance(&self, at: &Pubkey) -> u64 {
        u64::from_le_bytes(self.data(at)[64..72].try_into().unwrap())
    }

    pub fn owner_key(&self) -> Pubkey {
        key(&self.owner.pubkey())
    }

    pub fn liquidator_key(&self) -> Pubkey {
        key(&self.liquidator.pubkey())
    }

    pub fn payer_key(&self) -> Pubkey {
        key(&self.payer.pubkey())
    }

    pub fn obligation_key(&self) -> Pubkey {
        let none = Pubkey::default();
        pda::obligation(&KLEND_PROGRAM_ID, 0, 0, &self.owner_key(), &MARKET, &none, &none).0
    }

    /// Sends the instructions in one transaction signed by everybody needed.
    pub fn send(&mut self, instructions: &[InstructionV2]) -> Outcome {
        let mut all = vec![Instruction {
            program_id: address(&COMPUTE_BUDGET),
            accounts: Vec::new(),
            data: [&[2][..], &1_400_000u32.to_le_bytes()].concat(),
        }];
        all.extend(instructions.iter().cloned().map(instruction));
        let message = Message::new(&all, Some(&self.payer.pubkey()));
        let needed = &message.account_keys[..usize::from(message.header.num_required_signatures)];
        let signers: Vec<&Keypair> = [&self.payer, &self.owner, &self.liquidator]
            .into_iter()
            .filter(|wallet| needed.contains(&wallet.pubkey()))
            .collect();
        // A new blockhash, so that equal transactions are not duplicates.
        self.svm.expire_blockhash();
        let transaction = Transaction::new(&signers, message, self.svm.latest_blockhash());
        match self.svm.send_transaction(transaction) {
            Ok(meta) => {
                self.last = meta;
                Outcome::Done
            }
            Err(failure) => {
                if std::env::var_os("SHOW_LOGS").is_some() {
                    eprintln!("{:#?}", failure.meta.logs);
                }
                match failure.err {
                    TransactionError::InstructionError(index, error) => {
                        let index = index - 1;
                        match error {
                            InstructionError::Custom(number) => Outcome::Custom(index, number),
                            other => Outcome::Failed(index, other),
                        }
                    }
                    other => Outcome::Rejected(format!("{other:?}")),
                }
            }
        }
    }

    /// Sends and panics unless it succeeds.
    pub fn run(&mut self, instructions: &[InstructionV2]) {
        assert_eq!(self.send(instructions), Outcome::Done);
    }

    // Instructions.

    pub fn refresh_reserve(&self, reserve: &Pubkey) -> InstructionV2 {
        klend::refresh::refresh_reserve(klend::refresh::RefreshReserveAccounts {
            reserve: *reserve,
            lending_market: MARKET,
            pyth_oracle: None,
            switchboard_price_oracle: None,
            switchboard_twap_oracle: None,
            scope_prices: Some(SCOPE_FEED),
        })
    }

    /// Reserves of the obligation's active slots, deposits first.
    pub fn obligation_reserves(&self) -> Vec<Pubkey> {
        let obligation = self.obligation();
        let deposits = obligation.deposits.iter().map(|slot| slot.deposit_reserve);
        let borrows = obligation.borrows.iter().map(|slot| slot.borrow_reserve);
        deposits.chain(borrows).filter(|reserve| *reserve != Pubkey::default()).collect()
    }

    pub fn refresh_obligation(&self) -> InstructionV2 {
        let reserves = self.obligation_reserves();
        klend::refresh::refresh_obligation(
            klend::refresh::RefreshObligationAccounts {
                lending_market: MARKET,
                obligation: self.obligation_key(),
            },
            reserves.into_iter().map(writable).collect(),
        )
    }

    /// Refreshes of every distinct reserve of the obligation and `extra`, and
    /// of the obligation.
    pub fn refresh_all(&self, extra: &[Pubkey]) -> Vec<InstructionV2> {
        let mut reserves = self.obligation_reserves();
        reserves.extend(extra);
        reserves.sort();
        reserves.dedup();
        let mut all: Vec<_> =
            reserves.iter().map(|reserve| self.refresh_reserve(reserve)).collect();
        all.push(self.refresh_obligation());
        all
    }

    pub fn init_obligation(&self) -> Vec<InstructionV2> {
        let owner = self.owner_key();
        let metadata = pda::user_metadata(&KLEND_PROGRAM_ID, &owner).0;
        vec![
            klend::referrer::init_user_metadata(
                klend::referrer::InitUserMetadataAccounts {
                    owner,
                    fee_payer: self.payer_key(),
                    user_metadata: metadata,
                    referrer_user_metadata: None,
                },
                Pubkey::default(),
            ),
            klend::obligation::init_obligation(
                klend::obligation::InitObligationAccounts {
                    obligation_owner: owner,
                    fee_payer: self.payer_key(),
                    obligation: self.obligation_key(),
                    lending_market: MARKET,
                    seed1_account: Pubkey::default(),
                    seed2_account: Pubkey::default(),
                    owner_user_metadata: metadata,
                },
                klend_interface::types::InitObligationArgs { tag: 0, id: 0 },
            ),
        ]
    }

    pub fn farm_user(&self, farm: &Pubkey) -> Option<Pubkey> {
        (*farm != Pubkey::default()).then(|| pda::farms_user_state(farm, &self.obligation_key()).0)
    }

    /// Mode 0 for the deposit's farm, 1 for the debt's.
    pub fn init_farm(&self, reserve: &Pubkey, mode: u8) -> InstructionV2 {
        let state = self.reserve(reserve);
        let farm = [state.farm_collateral, state.farm_debt][usize::from(mode)];
        klend::obligation::init_obligation_farms_for_reserve(
            klend::obligation::InitObligationFarmsForReserveAccounts {
                payer: self.payer_key(),
                owner: self.owner_key(),
                obligation: self.obligation_key(),
                lending_market_authority: market_authority(),
                reserve: *reserve,
                reserve_farm_state: farm,
                obligation_farm: pda::farms_user_state(&farm, &self.obligation_key()).0,
                lending_market: MARKET,
            },
            mode,
        )
    }

    pub fn refresh_farm(&self, reserve: &Pubkey, mode: u8) -> InstructionV2 {
        let state = self.reserve(reserve);
        let farm = [state.farm_collateral, state.farm_debt][usize::from(mode)];
        klend::obligation::refresh_obligation_farms_for_reserve(
            klend::obligation::RefreshObligationFarmsForReserveAccounts {
                crank: self.payer_key(),
                obligation: self.obligation_key(),
                lending_market_authority: market_authority(),
                reserve: *reserve,
                reserve_farm_state: farm,
                obligation_farm_user_state: pda::farms_user_state(&farm, &self.obligation_key()).0,
                lending_market: MARKET,
            },
            mode,
        )
    }

    pub fn deposit(&self, reserve: &Pubkey, amount: u64) -> InstructionV2 {
        let state = self.reserve(reserve);
        let farm = state.farm_collateral;
        klend::deposit::deposit_reserve_liquidity_and_obligation_collateral_v2(
            klend::deposit::DepositReserveLiquidityAndObligationCollateralV2Accounts {
                owner: self.owner_key(),
                obligation: self.obligation_key(),
                lending_market: MARKET,
                lending_market_authority: market_authority(),
                reserve: *reserve,
                reserve_liquidity_mint: state.liquidity.mint_pubkey,
                reserve_liquidity_supply: state.liquidity.supply_vault,
                reserve_collateral_mint: state.collateral.mint_pubkey,
                reserve_destination_deposit_collateral: state.collateral.supply_vault,
                user_source_liquidity: self
                    .wallet_account(&self.owner_key(), &state.liquidity.mint_pubkey),
                placeholder_user_destination_collateral: None,
                liquidity_token_program: state.liquidity.token_program,
                obligation_farm_user_state: self.farm_user(&farm),
                reserve_farm_state: (farm != Pubkey::default()).then_some(farm),
            },
            amount,
        )
    }

    pub fn deposit_reserve_liquidity(&self, reserve: &Pubkey, amount: u64) -> InstructionV2 {
        let state = self.reserve(reserve);
        let owner = self.owner_key();
        klend::deposit::deposit_reserve_liquidity(
            klend::deposit::DepositReserveLiquidityAccounts {
                owner,
                reserve: *reserve,
                lending_market: MARKET,
                lending_market_authority: market_authority(),
                reserve_liquidity_mint: state.liquidity.mint_pubkey,
                reserve_liquidity_supply: state.liquidity.supply_vault,
                reserve_collateral_mint: state.collateral.mint_pubkey,
                user_source_liquidity: self.wallet_account(&owner, &state.liquidity.mint_pubkey),
                user_destination_collateral: self
                    .wallet_account(&owner, &state.collateral.mint_pubkey),
                liquidity_token_program: state.liquidity.token_program,
            },
            amount,
        )
    }

    pub fn deposit_obligation_collateral(&self, reserve: &Pubkey, amount: u64) -> InstructionV2 {
        let state = self.reserve(reserve);
        let owner = self.owner_key();
        let farm = state.farm_collateral;
        klend::deposit::deposit_obligation_collateral_v2(
            klend::deposit::DepositObligationCollateralV2Accounts {
                owner,
                obligation: self.obligation_key(),
                lending_market: MARKET,
                deposit_reserve: *reserve,
                reserve_destination_collateral: state.collateral.supply_vault,
                user_source_collateral: self.wallet_account(&owner, &state.collateral.mint_pubkey),
                lending_market_authority: market_authority(),
                obligation_farm_user_state: self.farm_user(&farm),
                reserve_farm_state: (farm != Pubkey::default()).then_some(farm),
            },
            amount,
        )
    }

    pub fn redeem(&self, reserve: &Pubkey, amount: u64) -> InstructionV2 {
        let state = self.reserve(reserve);
        let owner = self.owner_key();
        klend::withdraw::redeem_reserve_collateral(
            klend::withdraw::RedeemReserveCollateralAccounts {
                owner,
                lending_market: MARKET,
                reserve: *reserve,
                lending_market_authority: market_authority(),
                reserve_liquidity_mint: state.liquidity.mint_pubkey,
                reserve_collateral_mint: state.collateral.mint_pubkey,
                reserve_liquidity_supply: state.liquidity.supply_vault,
                user_source_collateral: self.wallet_account(&owner, &state.collateral.mint_pubkey),
                user_destination_liquidity: self
                    .wallet_account(&owner, &state.liquidity.mint_pubkey),
                liquidity_token_program: state.liquidity.token_program,
            },
            amount,
        )
    }

    pub fn borrow(&self, reserve: &Pubkey, amount: u64) -> InstructionV2 {
        let state = self.reserve(reserve);
        let farm = state.farm_debt;
        klend::borrow::borrow_obligation_liquidity_v2(
            klend::borrow::BorrowObligationLiquidityV2Accounts {
                owner: self.owner_key(),
                obligation: self.obligation_key(),
                lending_market: MARKET,
                lending_market_authority: market_authority(),
                borrow_reserve: *reserve,
                borrow_reserve_liquidity_mint: state.liquidity.mint_pubkey,
                reserve_source_liquidity: state.liquidity.supply_vault,
                borrow_reserve_liquidity_fee_receiver: state.liquidity.fee_vault,
                user_destination_liquidity: self
                    .wallet_account(&self.owner_key(), &state.liquidity.mint_pubkey),
                referrer_token_state: None,
                token_program: state.liquidity.token_program,
                obligation_farm_user_state: self.farm_user(&farm),
                reserve_farm_state: (farm != Pubkey::default()).then_some(farm),
            },
            amount,
            self.deposit_reserves(),
        )
    }

    fn deposit_reserves(&self) -> Vec<solana_instruction_v2::AccountMeta> {
        let obligation = self.obligation();
        (obligation.deposits.iter())
            .filter(|slot| slot.is_active())
            .map(|slot| writable(slot.deposit_reserve))
            .collect()
    }

    pub fn flash_borrow(&self, reserve: &Pubkey, amount: u64) -> InstructionV2 {
        let state = self.reserve(reserve);
        klend::flash::flash_borrow_reserve_liquidity(
            klend::flash::FlashBorrowReserveLiquidityAccounts {
                user_transfer_authority: self.liquidator_key(),
                lending_market_authority: market_authority(),
                lending_market: MARKET,
                reserve: *reserve,
                reserve_liquidity_mint: state.liquidity.mint_pubkey,
                reserve_source_liquidity: state.liquidity.supply_vault,
                user_destination_liquidity: self
                    .wallet_account(&self.liquidator_key(), &state.liquidity.mint_pubkey),
                reserve_liquidity_fee_receiver: state.liquidity.fee_vault,
                referrer_token_state: None,
                referrer_account: None,
                token_program: state.liquidity.token_program,
            },
            amount,
        )
    }

    /// `borrow_index` counts from the first instruction given to `send`.
    pub fn flash_repay(&self, reserve: &Pubkey, amount: u64, borrow_index: u8) -> InstructionV2 {
        let state = self.reserve(reserve);
        klend::flash::flash_repay_reserve_liquidity(
            klend::flash::FlashRepayReserveLiquidityAccounts {
                user_transfer_authority: self.liquidator_key(),
                lending_market_authority: market_authority(),
                lending_market: MARKET,
                reserve: *reserve,
                reserve_liquidity_mint: state.liquidity.mint_pubkey,
                reserve_destination_liquidity: state.liquidity.supply_vault,
                user_source_liquidity: self
                    .wallet_account(&self.liquidator_key(), &state.liquidity.mint_pubkey),
                reserve_liquidity_fee_receiver: state.liquidity.fee_vault,
                referrer_token_state: None,
                referrer_account: None,
                token_program: state.liquidity.token_program,
            },
            amount,
            borrow_index + 1,
        )
    }

    pub fn liquidate(
        &self,
        debt: &Pubkey,
        collateral: &Pubkey,
        amount: u64,
        min_received: u64,
    ) -> InstructionV2 {
        let repay = self.reserve(debt);
        let withdraw = self.reserve(collateral);
        let account = |mint: &Pubkey| self.wallet_account(&self.liquidator_key(), mint);
        let present = |farm: Pubkey| (farm != Pubkey::default()).then_some(farm);
        let group = self.obligation().elevation_group;
        klend::liquidate::liquidate_obligation_and_redeem_reserve_collateral_v2(
            klend::liquidate::LiquidateObligationAndRedeemReserveCollateralV2Accounts {
                liquidator: self.liquidator_key(),
                obligation: self.obligation_key(),
                lending_market: MARKET,
                lending_market_authority: market_authority(),
                repay_reserve: *debt,
                repay_reserve_liquidity_mint: repay.liquidity.mint_pubkey,
                repay_reserve_liquidity_supply: repay.liquidity.supply_vault,
                withdraw_reserve: *collateral,
                withdraw_reserve_liquidity_mint: withdraw.liquidity.mint_pubkey,
                withdraw_reserve_collateral_mint: withdraw.collateral.mint_pubkey,
                withdraw_reserve_collateral_supply: withdraw.collateral.supply_vault,
                withdraw_reserve_liquidity_supply: withdraw.liquidity.supply_vault,
                withdraw_reserve_liquidity_fee_receiver: withdraw.liquidity.fee_vault,
                user_source_liquidity: account(&repay.liquidity.mint_pubkey),
                user_destination_collateral: account(&withdraw.collateral.mint_pubkey),
                user_destination_liquidity: account(&withdraw.liquidity.mint_pubkey),
                repay_liquidity_token_program: repay.liquidity.token_program,
                withdraw_liquidity_token_program: withdraw.liquidity.token_program,
                collateral_obligation_farm_user_state: self.farm_user(&withdraw.farm_collateral),
                collateral_reserve_farm_state: present(withdraw.farm_collateral),
                debt_obligation_farm_user_state: self.farm_user(&repay.farm_debt),
                debt_reserve_farm_state: present(repay.farm_debt),
            },
            amount,
            min_received,
            0,
            if group == 0 { Vec::new() } else { self.deposit_reserves() },
        )
    }

    /// The first liquidation instruction: the second's without the farms.
    pub fn liquidate_v1(&self, debt: &Pubkey, collateral: &Pubkey, amount: u64) -> InstructionV2 {
        let mut instruction = self.liquidate(debt, collateral, amount, 0);
        instruction.data[..8].copy_from_slice(&[177, 71, 154, 188, 226, 133, 74, 55]);
        instruction.accounts.drain(20..25);
        instruction
    }

    pub fn request_group(&self, group: u8) -> InstructionV2 {
        let reserves = self.obligation_reserves();
        klend::obligation::request_elevation_group(
            klend::obligation::RequestElevationGroupAccounts {
                owner: self.owner_key(),
                obligation: self.obligation_key(),
                lending_market: MARKET,
            },
            group,
            reserves.into_iter().map(writable).collect(),
        )
    }

    // Scenarios.

    /// Opens the obligation with one deposit, the owner funded for it.
    pub fn open(&mut self, reserve: &Pubkey, amount: u64) {
        self.run(&self.init_obligation());
        self.add_deposit(reserve, amount);
    }

    pub fn add_deposit(&mut self, reserve: &Pubkey, amount: u64) {
        let mint = self.reserve(reserve).liquidity.mint_pubkey;
        self.fund(&self.owner_key(), &mint, amount);
        if self.reserve(reserve).farm_collateral != Pubkey::default() {
            self.run(&[self.init_farm(reserve, 0)]);
        }
        let mut all = self.refresh_all(&[*reserve]);
        all.push(self.deposit(reserve, amount));
        self.run(&all);
    }

    pub fn add_borrow(&mut self, reserve: &Pubkey, amount: u64) {
        let mint = self.reserve(reserve).liquidity.mint_pubkey;
        let owner = self.owner_key();
        if self.data(&self.wallet_account(&owner, &mint)).is_empty() {
            self.fund(&owner, &mint, 0);
        }
        let mut all = self.refresh_all(&[*reserve]);
        all.push(self.borrow(reserve, amount));
        self.run(&all);
    }

    /// Token accounts that a liquidator needs, with funds to repay.
    pub fn equip_liquidator(&mut self, debt: &Pubkey, collateral: &Pubkey, funds: u64) {
        let repay = self.reserve(debt);
        let withdraw = self.reserve(collateral);
        let liquidator = self.liquidator_key();
        self.fund(&liquidator, &withdraw.liquidity.mint_pubkey, 0);
        self.fund(&liquidator, &withdraw.collateral.mint_pubkey, 0);
        self.fund(&liquidator, &repay.liquidity.mint_pubkey, funds);
    }

    /// Every account that klend's instructions write, with a name.
    pub fn watched(&self) -> Vec<(String, Pubkey)> {
        let metadata = pda::user_metadata(&KLEND_PROGRAM_ID, &self.owner_key()).0;
        let mut accounts = vec![
            ("market".to_owned(), MARKET),
            ("obligation".to_owned(), self.obligation_key()),
            ("user metadata".to_owned(), metadata),
        ];
        for (name, reserve_key) in
            [("USDC", USDC_RESERVE), ("SOL", SOL_RESERVE), ("JitoSOL", JITOSOL_RESERVE)]
        {
            let reserve = self.reserve(&reserve_key);
            let mut add = |what: &str, key: Pubkey| accounts.push((format!("{name} {what}"), key));
            add("reserve", reserve_key);
            add("vault", reserve.liquidity.supply_vault);
            add("fee vault", reserve.liquidity.fee_vault);
            add("cToken mint", reserve.collateral.mint_pubkey);
            add("cToken vault", reserve.collateral.supply_vault);
            for (what, farm) in
                [("collateral", reserve.farm_collateral), ("debt", reserve.farm_debt)]
            {
                if let Some(user) = self.farm_user(&farm) {
                    add(&format!("{what} farm"), farm);
                    add(&format!("{what} stake"), user);
                }
            }
            for (who, wallet) in
                [("owner", self.owner_key()), ("liquidator", self.liquidator_key())]
            {
                let mint = reserve.liquidity.mint_pubkey;
                add(&format!("of {who}"), self.wallet_account(&wallet, &mint));
                let mint = reserve.collateral.mint_pubkey;
                add(&format!("cTokens of {who}"), self.wallet_account(&wallet, &mint));
            }
        }
        accounts
    }

    /// Data of the watched accounts, by name.
    pub fn state(&self) -> BTreeMap<String, Vec<u8>> {
        (self.watched().into_iter()).map(|(name, key)| (name, self.data(&key))).collect()
    }
}

pub fn market_authority() -> Pubkey {
    pda::lending_market_authority(&KLEND_PROGRAM_ID, &MARKET).0
}

pub fn writable(pubkey: Pubkey) -> solana_instruction_v2::AccountMeta {
    solana_instruction_v2::AccountMeta::new(pubkey, false)
}

fn token_data(mint: Pubkey, owner: Pubkey, amount: u64) -> Vec<u8> {
    let mut data = vec![0; 165];
    data[..32].copy_from_slice(mint.as_ref());
    data[32..64].copy_from_slice(owner.as_ref());
    data[64..72].copy_from_slice(&amount.to_le_bytes());
    data[108] = 1; // initialised
    data
}

fn mint_data(authority: Option<Pubkey>, supply: u64, decimals: u8) -> Vec<u8> {
    let mut data = vec![0; 82];
    if let Some(authority) = authority {
        data[..4].copy_from_slice(&1u32.to_le_bytes());
        data[4..36].copy_from_slice(authority.as_ref());
    }
    data[36..44].copy_from_slice(&supply.to_le_bytes());
    data[44] = decimals;
    data[45] = 1; // initialised
    data
}

fn read_json(path: &std::path::Path) -> serde_json::Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse_account(value: &serde_json::Value) -> Account {
    Account {
        lamports: value["lamports"].as_u64().unwrap(),
        data: STANDARD.decode(value["data"][0].as_str().unwrap()).unwrap(),
        owner: value["owner"].as_str().unwrap().parse().unwrap(),
        executable: value["executable"].as_bool().unwrap(),
        rent_epoch: u64::MAX,
    }
}
