//! What hostile keys can do in the slot after a transaction.
//!
//! Comparing balances shows what a transaction took, not what it made possible: a
//! wallet that became somebody's nonce account has all its lamports, until that
//! somebody withdraws them one slot later. So after every transaction each hostile
//! key alone, then all of them together, try to take, freeze or re-own whatever is
//! the victims', and the victims try to use it. What failed before the transaction
//! must fail after it, and what worked must work.
//!
//! Signatures are not verified here: a key is hostile if an account of a victim
//! records it, whether or not a test holds its secret, programs' addresses included.

use std::collections::{BTreeMap, BTreeSet};

use flash_liquidator_client::budget::compile_v0;
use klend_fork::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID, World};
use litesvm::LiteSVM;
use solana_account::{Account, ReadableAccount};
use solana_address::Address;
use solana_instruction::Instruction;
use solana_program_option::COption;
use solana_program_pack::Pack;
use solana_sdk_ids::system_program;
use solana_system_interface::instruction as system;
use solana_transaction::versioned::VersionedTransaction;
use spl_token_2022_interface::{
    extension::{ExtensionType, memo_transfer},
    instruction::{self as token, AuthorityType},
};
use spl_token_interface::state::{Account as TokenAccount, AccountState};

use crate::property::{NONCE_LEN, base_of, is_token_account, nonce_authority, property};

/// Somebody whom no account mentions; pays for all that is tried.
const STRANGER: Address = Address::new_from_array([66; 32]);
const STRANGERS_LAMPORTS: u64 = 1_000_000_000_000;

/// Fails if something can be done to what is the `victims'` that could not be done
/// before, by the keys of `hostile`, by those that the accounts record, or by nobody
/// in particular; or if the victims can no longer use what they could.
///
/// # Panics
/// Naming what can be done, to which account, by whom.
pub fn assert_nothing_can_be_taken(
    before: &World,
    after: &World,
    victims: &[Address],
    hostile: &[Address],
) {
    let (then, now) = (Slot::after(before, victims), Slot::after(after, victims));
    let hostile = now.hostile_keys(victims, hostile);
    for attempt in now.attempts(&hostile) {
        let Some(moved) = now.moved_by(&attempt, &hostile) else { continue };
        assert!(
            then.moved_by(&attempt, &hostile).is_some(),
            "one slot later {} can {} of {}: it changes {moved}",
            attempt.who,
            attempt.what,
            attempt.account
        );
    }
    let users: BTreeSet<_> = victims.iter().copied().chain([STRANGER]).collect();
    for (key, account) in &now.property {
        let uses = now.use_of(key, account);
        let is_new = !then.property.contains_key(key);
        assert!(
            now.works(&uses, &users) || !(is_new || then.works(&uses, &users)),
            "one slot later {key} can no longer be used by its owner"
        );
    }
}

/// Something that somebody tries.
struct Attempt {
    who: String,
    what: &'static str,
    account: Address,
    instruction: Instruction,
}

/// The slot after a transaction, in which nobody's signature is verified.
struct Slot {
    svm: LiteSVM,
    /// The victims' wallets, nonce accounts and token accounts.
    property: BTreeMap<Address, Account>,
}

impl Slot {
    fn after(world: &World, victims: &[Address]) -> Self {
        let mut world = world.clone();
        world.warp_slots(1);
        let lamports = STRANGERS_LAMPORTS;
        let wallet = Account { lamports, owner: system_program::ID, ..Account::default() };
        put(&mut world, &STRANGER, wallet);
        let mut property = property(&mut world, victims);
        for (key, account) in &mut property {
            if !is_token_account(account) {
                continue;
            }
            // What is empty now will not always be.
            add_units(account, 1);
            put(&mut world, key, account.clone());
            let mut loot = account.clone();
            edit_base(&mut loot, |state| {
                state.owner = STRANGER;
                (state.delegate, state.delegated_amount) = (COption::None, 0);
                state.close_authority = COption::None;
                state.state = AccountState::Initialized;
            });
            put(&mut world, &loot_of(key), loot);
        }
        let svm = world.svm().clone().with_sigverify(false);
        Self { svm, property }
    }

    /// Keys that may sign for the attempts: given, recorded, and a stranger's.
    fn hostile_keys(&self, victims: &[Address], given: &[Address]) -> BTreeSet<Address> {
        let mut keys: BTreeSet<_> = given.iter().copied().chain([STRANGER]).collect();
        for account in self.property.values() {
            if is_token_account(account) {
                let state = base_of(account);
                keys.insert(state.owner);
                keys.extend(Option::<Address>::from(state.delegate));
                keys.extend(Option::<Address>::from(state.close_authority));
            } else {
                keys.extend(nonce_authority(account));
            }
        }
        keys.retain(|key| !victims.contains(key));
        keys
    }

    fn attempts(&self, hostile: &BTreeSet<Address>) -> Vec<Attempt> {
        let together: Vec<_> = hostile.iter().collect();
        let mut attempts = Vec::new();
        for (key, account) in &self.property {
            let mut add = |who: String, tries: Tries| {
                attempts.extend(tries.into_iter().filter_map(|(what, instruction)| {
                    let instruction = instruction?;
                    Some(Attempt { who: who.clone(), what, account: *key, instruction })
                }));
            };
            if is_token_account(account) {
                let owner = base_of(account).owner;
                for one in hostile {
                    add(one.to_string(), self.on_token_account(key, account, one, &[]));
                }
                // As the signers of a multisig that the owner has become.
                let tries = self.on_token_account(key, account, &owner, &together);
                add("all hostile keys together".to_owned(), tries);
            } else {
                for one in hostile {
                    add(one.to_string(), on_wallet(key, one));
                }
                add("anybody".to_owned(), initialisations(key, &together));
            }
        }
        attempts
    }

    fn on_token_account(
        &self,
        key: &Address,
        account: &Account,
        authority: &Address,
        signers: &[&Address],
    ) -> Tries {
        let (program, state, loot) = (&account.owner, base_of(account), loot_of(key));
        let mint = &state.mint;
        let owner =
            |kind, to| token::set_authority(program, key, Some(to), kind, authority, signers).ok();
        vec![
            ("transfer units", self.transfer(account, key, &loot, authority, signers)),
            ("burn units", token::burn(program, key, mint, authority, signers, 1).ok()),
            ("become the delegate", {
                token::approve(program, key, &STRANGER, authority, signers, 1).ok()
            }),
            ("take the ownership", owner(AuthorityType::AccountOwner, &STRANGER)),
            ("become the close authority", owner(AuthorityType::CloseAccount, &STRANGER)),
            ("take the rent", {
                token::close_account(program, key, &STRANGER, authority, signers).ok()
            }),
            ("freeze the units", {
                token::freeze_account(program, key, mint, authority, signers).ok()
            }),
            ("take excess lamports", {
                token::withdraw_excess_lamports(program, key, &STRANGER, authority, signers).ok()
            }),
            ("unwrap lamports", {
                let amount = Some(1);
                token::unwrap_lamports(program, key, &STRANGER, authority, signers, amount).ok()
            }),
            ("add an extension", {
                let memo = [ExtensionType::MemoTransfer];
                token::reallocate(program, key, &STRANGER, authority, signers, &memo).ok()
            }),
            ("demand memos", {
                let demand = memo_transfer::instruction::enable_required_transfer_memos;
                demand(program, key, authority, signers).ok()
            }),
        ]
    }

    fn transfer(
        &self,
        account: &Account,
        from: &Address,
        to: &Address,
        authority: &Address,
        signers: &[&Address],
    ) -> Option<Instruction> {
        let mint = base_of(account).mint;
        // `Mint.decimals`.
        let decimals = *self.svm.get_account(&mint)?.data.get(44)?;
        token::transfer_checked(&account.owner, from, &mint, to, authority, signers, 1, decimals)
            .ok()
    }

    /// What an owner does with an account: a wallet pays, a token account receives
    /// and pays.
    fn use_of(&self, key: &Address, account: &Account) -> Vec<Instruction> {
        if !is_token_account(account) {
            return vec![system::transfer(key, &STRANGER, 0)];
        }
        let (owner, loot) = (base_of(account).owner, loot_of(key));
        let receive = self.transfer(account, &loot, key, &STRANGER, &[]);
        receive.into_iter().chain(self.transfer(account, key, &loot, &owner, &[])).collect()
    }

    /// What of the property an attempt changes, if it succeeds.
    fn moved_by(&self, attempt: &Attempt, hostile: &BTreeSet<Address>) -> Option<String> {
        let posts = self.simulate(std::slice::from_ref(&attempt.instruction), hostile)?;
        posts.into_iter().find_map(|(key, now)| {
            let was = self.property.get(&key)?;
            let what = if *now.owner() != was.owner {
                "the program that owns"
            } else if now.data() != was.data {
                "the data of"
            } else if now.lamports() < was.lamports {
                "the lamports of"
            } else {
                return None;
            };
            Some(format!("{what} {key}"))
        })
    }

    fn works(&self, instructions: &[Instruction], signers: &BTreeSet<Address>) -> bool {
        self.simulate(instructions, signers).is_some()
    }

    /// The accounts after these instructions with the signatures of `signers` and of
    /// nobody else, if they succeed.
    fn simulate(
        &self,
        instructions: &[Instruction],
        signers: &BTreeSet<Address>,
    ) -> Option<Vec<(Address, solana_account::AccountSharedData)>> {
        let mut instructions = instructions.to_vec();
        for meta in instructions.iter_mut().flat_map(|instruction| &mut instruction.accounts) {
            meta.is_signer &= signers.contains(&meta.pubkey);
        }
        let blockhash = self.svm.latest_blockhash();
        let message = compile_v0(&STRANGER, &instructions, &[], blockhash).expect("a message");
        let count = usize::from(message.header().num_required_signatures);
        let signatures = vec![Default::default(); count];
        let transaction = VersionedTransaction { signatures, message };
        Some(self.svm.simulate_transaction(transaction).ok()?.post_accounts)
    }
}

/// Names of what is tried, and how; `None` where the program knows no such thing.
type Tries = Vec<(&'static str, Option<Instruction>)>;

/// What a key could try on a wallet, or on what a wallet has become.
fn on_wallet(key: &Address, by: &Address) -> Tries {
    vec![
        ("transfer lamports", Some(system::transfer(key, &STRANGER, 1))),
        ("allocate the data", Some(system::allocate(key, NONCE_LEN as u64))),
        ("assign the ownership", Some(system::assign(key, &STRANGER))),
        ("withdraw lamports", Some(system::withdraw_nonce_account(key, by, &STRANGER, 1))),
        ("take the nonce", Some(system::authorize_nonce_account(key, by, &STRANGER))),
        ("advance the nonce", Some(system::advance_nonce_account(key, by))),
    ]
}

/// What needs no signature: an account with room becomes what somebody says.
fn initialisations(key: &Address, signers: &[&Address]) -> Tries {
    let nonce = system::create_nonce_account(&STRANGER, key, &STRANGER, 1).pop();
    let mut tries = vec![
        ("make a nonce account", nonce),
        ("upgrade the nonce", Some(system::upgrade_nonce_account(*key))),
    ];
    for program in [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID] {
        tries
            .push(("make a multisig", token::initialize_multisig2(&program, key, signers, 1).ok()));
    }
    tries
}

/// Where a thief would put what it takes of a token account: another account of the
/// same kind, with as much in it.
fn loot_of(key: &Address) -> Address {
    Address::new_from_array(key.to_bytes().map(|byte| !byte))
}

fn put(world: &mut World, key: &Address, account: Account) {
    world.set_account(key, account).expect("no program, no sysvar");
}

fn add_units(account: &mut Account, units: u64) {
    edit_base(account, |state| state.amount = state.amount.saturating_add(units));
    if base_of(account).is_native() {
        account.lamports = account.lamports.saturating_add(units);
    }
}

fn edit_base(account: &mut Account, edit: impl FnOnce(&mut TokenAccount)) {
    let mut state = base_of(account);
    edit(&mut state);
    TokenAccount::pack(state, &mut account.data[..TokenAccount::LEN]).expect("165 bytes");
}
