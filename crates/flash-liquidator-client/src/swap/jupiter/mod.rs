//! Routes of the Jupiter aggregator, from an answer of its `/swap-instructions`
//! or of the newer `/build`.
//!
//! [`Ask`] has the parameters of `/build` ([`read_build`] reads its answer): the **swap
//! authority** is the `taker`, `wrapAndUnwrapSol` is false. Of `/swap-instructions` ask
//! with `userPublicKey` set to the swap authority ([`read`]). Accounts are passed through;
//! the input in the data is found by the instruction's layout, held against the quote, and
//! rewritten on chain to what is really there. What Jupiter promises is not believed: what
//! the program holds on chain is the keeper's least profit. Fees that the data states
//! ([`Stated`]) are refused unless they are allowed ([`Allowed`]).
//!
//! | instruction | as a leg |
//! |---|---|
//! | `route`, `route_v2` | yes: the swap authority signs and owns the account sold from |
//! | `shared_accounts_route`, `shared_accounts_route_v2` | yes: the tokens pass through Jupiter's own accounts, and the swap authority signs the first transfer |
//! | `route_with_token_ledger`, `shared_accounts_route_with_token_ledger` | no: they sell what came in after a top-level instruction noted a balance; the data holds no amount, and here it is not needed |
//! | `exact_out_route` and its kin | no: what is sold would depend on the price, and the rest would stay behind |

mod ask;
pub(crate) mod id;
mod layout;
mod wire;

use solana_address::Address;

use self::{
    layout::Layout,
    wire::{Answer, Key, WireInstruction},
};

pub use self::{
    ask::{Ask, MOST_ACCOUNTS},
    id::PROGRAM_ID,
    layout::Stated,
};
use crate::{
    flash_liquidation::Requirement,
    klend::ReserveAddresses,
    receiver::{Route, SwapLeg, swap_authority},
    token::{TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID, associated_token_account},
};

/// Creates associated token accounts.
const ASSOCIATED_TOKEN_PROGRAM_ID: Address = spl_associated_token_account_interface::program::ID;

/// A basis point's whole.
const FULL_BPS: u16 = 10_000;

/// Fees that an answer may state, bps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Of the amount.
    pub platform_fee_bps: u16,
    /// Of what it brings beyond the quote.
    pub positive_slippage_bps: u16,
}

/// Why an answer cannot become a leg.
#[derive(Debug, thiserror::Error)]
pub enum JupiterError {
    /// Not the JSON that these answer with.
    #[error("not an answer of /build or /swap-instructions: {0}")]
    Json(#[from] serde_json::Error),
    /// The API answered with an error of its own.
    #[error("Jupiter answered: {0}")]
    Refused(String),
    /// The swap calls another program.
    #[error("the swap instruction calls {actual}, expected Jupiter {PROGRAM_ID}")]
    OtherProgram {
        /// The program it calls.
        actual: Address,
    },
    /// An instruction whose input cannot be set.
    #[error("{instruction} cannot be a leg: {remedy}")]
    NotExactIn {
        /// Its name.
        instruction: &'static str,
        /// What to ask for instead.
        remedy: &'static str,
    },
    /// An instruction that is no route.
    #[error("the swap instruction begins with {discriminator:02x?}, which is no known route")]
    UnknownInstruction {
        /// First bytes of its data.
        discriminator: Vec<u8>,
    },
    /// The list of accounts is shorter than the instruction's named ones.
    #[error("{instruction} names {expected} accounts, the answer has {actual}")]
    TooFewAccounts {
        /// The instruction's name.
        instruction: &'static str,
        /// Accounts there.
        actual: usize,
        /// Accounts needed.
        expected: usize,
    },
    /// The route sells from another account than the swap authority's.
    #[error("the route sells from {actual}, not from the swap authority's account {expected}")]
    OtherSource {
        /// The account it sells from.
        actual: Address,
        /// The swap authority's account of the collateral.
        expected: Address,
    },
    /// The route pays an account that is neither the keeper's nor the swap
    /// authority's.
    #[error(
        "the route pays {actual}, neither the keeper's account of the debt {keeper} nor its swap authority's {swap_authority}"
    )]
    OtherDestination {
        /// The account it pays.
        actual: Address,
        /// The keeper's account of the debt.
        keeper: Address,
        /// The swap authority's account of the debt.
        swap_authority: Address,
    },
    /// The data is shorter than its layout.
    #[error("the swap instruction has {actual} bytes of data, expected at least {expected}")]
    TooShort {
        /// Bytes there.
        actual: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// The data does not hold the quoted input where its layout has it.
    #[error("the swap instruction sells {actual} (offset {offset}), the quote was for {expected}")]
    OtherAmount {
        /// Where the input was looked for.
        offset: usize,
        /// What is there.
        actual: u64,
        /// The quoted input.
        expected: u64,
    },
    /// Somebody else has to sign.
    #[error("the swap wants the signature of {actual}; only the swap authority {expected} signs")]
    OtherSigner {
        /// Who else.
        actual: Address,
        /// The swap authority.
        expected: Address,
    },
    /// The swap authority does not sign, so the route was made for another user.
    #[error("the swap was made for another user than the swap authority {expected}")]
    OtherUser {
        /// The swap authority.
        expected: Address,
    },
    /// It takes more than is allowed.
    #[error(
        "the swap takes a platform fee of {} bps and keeps {} bps of what it brings beyond the \
         quote; {} and {} are allowed",
        .stated.platform_fee_bps, .stated.positive_slippage_bps,
        .allowed.platform_fee_bps, .allowed.positive_slippage_bps
    )]
    Fee {
        /// What it states.
        stated: Stated,
        /// What is allowed.
        allowed: Allowed,
    },
    /// It may bring nothing.
    #[error(
        "the swap may bring nothing: it is quoted to bring {amount_out}, less {slippage_bps} bps"
    )]
    NoMinimum {
        /// Its quote.
        amount_out: u64,
        /// How much less it may bring.
        slippage_bps: u16,
    },
    /// It sells less than is to be sold.
    #[error("the route was made for {quoted} and cannot sell {wanted}: ask for that much")]
    OtherSize {
        /// What it was quoted for.
        quoted: u64,
        /// What is to be sold.
        wanted: u64,
    },
    /// The answer says one thing, its instruction another.
    #[error("the answer says {what} {said}, its instruction {stated}")]
    Contradiction {
        /// Of what.
        what: &'static str,
        /// The answer.
        said: u64,
        /// The instruction.
        stated: u64,
    },
    /// It was made for another question.
    #[error("the answer is for {what} {actual}, asked was {expected}")]
    OtherQuestion {
        /// What differs.
        what: &'static str,
        /// In the answer.
        actual: String,
        /// In the question.
        expected: String,
    },
    /// It would make an account for somebody else.
    #[error(
        "the answer creates {account} for {owner}; only the swap authority {expected} needs accounts"
    )]
    ForeignOwner {
        /// The account.
        account: Address,
        /// Whose.
        owner: Address,
        /// Whose it may be.
        expected: Address,
    },
    /// Something beside the swap that a leg cannot do.
    #[error("the answer has a {what} that a leg cannot run: {remedy}")]
    Unsupported {
        /// What it is.
        what: &'static str,
        /// What to ask for instead.
        remedy: &'static str,
    },
}

/// A Jupiter route, ready to be a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JupiterRoute {
    /// The leg.
    pub leg: SwapLeg,
    /// The account it sells from.
    pub source: Address,
    /// The account it pays.
    pub destination: Address,
    /// Lookup tables that hold the route's accounts.
    pub lookup_tables: Vec<Address>,
    /// Token accounts of the swap authority that have to exist: those that the answer
    /// creates, and those of its mints that the route names.
    pub token_accounts: Vec<Requirement>,
    /// What the instruction states.
    pub stated: Stated,
    /// The slot that it was quoted at, where the answer says it.
    pub context_slot: Option<u64>,
}

impl JupiterRoute {
    /// The same route for another amount, no more than it was quoted for: pools pay no less
    /// for each unit of a smaller amount, so that the quote shrinks with it, and with the
    /// quote what Jupiter holds on chain.
    ///
    /// # Errors
    /// [`JupiterError::OtherSize`]; [`JupiterError::NoMinimum`] where nothing is left of the
    /// quote.
    pub fn resized(&self, amount: u64) -> Result<Self, JupiterError> {
        let Some(amount_out) = self.pays(amount) else {
            let quoted = self.stated.amount_in;
            return Err(JupiterError::OtherSize { quoted, wanted: amount });
        };
        let mut route = self.clone();
        Layout::of(&route.leg.data)?.write(&mut route.leg.data, amount, amount_out)?;
        (route.stated.amount_in, route.stated.amount_out) = (amount, amount_out);
        route.stated.require_minimum()?;
        Ok(route)
    }

    /// The least that the quote says an amount brings; `None` for more than it was quoted
    /// for.
    #[must_use]
    pub fn pays(&self, amount: u64) -> Option<u64> {
        let Stated { amount_in, amount_out, .. } = self.stated;
        let share = u128::from(amount_out) * u128::from(amount) / u128::from(amount_in.max(1));
        (amount <= amount_in).then(|| u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// The whole way from the collateral to the debt, over this one leg.
    ///
    /// `keeper_debt` is the keeper's account of the debt mint, where the route may
    /// pay directly. Beside the route, the token accounts that have to exist for it.
    ///
    /// # Errors
    /// [`JupiterError::OtherSource`] or [`JupiterError::OtherDestination`] when the
    /// answer was made for other accounts.
    pub fn into_route(
        self,
        keeper: &Address,
        withdraw: &ReserveAddresses,
        repay: &ReserveAddresses,
        keeper_debt: &Address,
    ) -> Result<(Route, Vec<Requirement>), JupiterError> {
        let mut route = Route::new(keeper, withdraw, repay);
        let (authority, _) = swap_authority(keeper);
        let mut token_accounts = self.token_accounts;
        for reserve in [withdraw, repay] {
            let (mint, program) = (&reserve.liquidity_mint, &reserve.liquidity_token_program);
            name(&self.leg, &authority, mint, program, &mut token_accounts);
        }
        if self.source != route.swap_collateral {
            return Err(JupiterError::OtherSource {
                actual: self.source,
                expected: route.swap_collateral,
            });
        }
        if self.destination == *keeper_debt {
            route.swap_debt = None;
        } else if let Some(swap_debt) = route.swap_debt.filter(|own| *own != self.destination) {
            return Err(JupiterError::OtherDestination {
                actual: self.destination,
                keeper: *keeper_debt,
                swap_authority: swap_debt,
            });
        }
        route.legs = vec![self.leg];
        Ok((route, token_accounts))
    }
}

impl Stated {
    /// That it may not bring nothing.
    fn require_minimum(&self) -> Result<(), JupiterError> {
        let Self { amount_out, slippage_bps, .. } = *self;
        if amount_out == 0 || slippage_bps >= FULL_BPS {
            return Err(JupiterError::NoMinimum { amount_out, slippage_bps });
        }
        Ok(())
    }

    /// That it takes no more than is allowed.
    fn require_allowed(&self, allowed: &Allowed) -> Result<(), JupiterError> {
        if self.platform_fee_bps > allowed.platform_fee_bps
            || self.positive_slippage_bps > allowed.positive_slippage_bps
        {
            return Err(JupiterError::Fee { stated: *self, allowed: *allowed });
        }
        Ok(())
    }
}

/// Notes the associated token account of a mint if a leg names it.
fn name(
    leg: &SwapLeg,
    authority: &Address,
    mint: &Address,
    token_program: &Address,
    named: &mut Vec<Requirement>,
) {
    let address = associated_token_account(authority, mint, token_program);
    let is_named = leg.accounts.iter().any(|meta| meta.pubkey == address);
    let (owner, mint, token_program) = (*authority, *mint, *token_program);
    let account = Requirement::TokenAccount { address, owner, mint, token_program };
    if is_named && !named.contains(&account) {
        named.push(account);
    }
}

/// Reads an answer of `/build` to a question.
///
/// # Errors
/// [`JupiterError`]: as [`read`], and where it answers another question.
pub fn read_build(json: &str, ask: &Ask, allowed: &Allowed) -> Result<JupiterRoute, JupiterError> {
    let answer: Answer = serde_json::from_str(json)?;
    for (what, actual, expected) in [
        ("input mint", &answer.input_mint, ask.sold),
        ("output mint", &answer.output_mint, ask.bought),
    ] {
        if let Some(Key(actual)) = actual.as_ref().filter(|actual| actual.0 != expected) {
            let (actual, expected) = (actual.to_string(), expected.to_string());
            return Err(JupiterError::OtherQuestion { what, actual, expected });
        }
    }
    let route = read_answer(answer, &ask.authority, ask.amount, 0, allowed)?;
    let (actual, expected) = (route.stated.slippage_bps, ask.slippage_bps);
    if actual > expected {
        let (actual, expected) = (actual.to_string(), expected.to_string());
        return Err(JupiterError::OtherQuestion { what: "slippage", actual, expected });
    }
    Ok(route)
}

/// Reads an answer of `/swap-instructions` or `/build`.
///
/// `in_amount` is the quote's input; `token` says which token the leg sells (0
/// is the collateral, `n` the n-th intermediate).
///
/// # Errors
/// [`JupiterError`].
pub fn read(
    json: &str,
    swap_authority: &Address,
    in_amount: u64,
    token: u8,
    allowed: &Allowed,
) -> Result<JupiterRoute, JupiterError> {
    read_answer(serde_json::from_str(json)?, swap_authority, in_amount, token, allowed)
}

fn read_answer(
    answer: Answer,
    swap_authority: &Address,
    in_amount: u64,
    token: u8,
    allowed: &Allowed,
) -> Result<JupiterRoute, JupiterError> {
    if let Some(error) = answer.error {
        return Err(JupiterError::Refused(error));
    }
    let unsupported = |what, remedy| Err(JupiterError::Unsupported { what, remedy });
    if answer.token_ledger_instruction.is_some() {
        return unsupported("token ledger", "set useTokenLedger to false");
    }
    if answer.cleanup_instruction.is_some() {
        return unsupported("cleanup instruction", "set wrapAndUnwrapSol to false");
    }
    if !answer.other_instructions.is_empty() || answer.tip_instruction.is_some() {
        return unsupported("further instruction", "leave tips and trackers out of the request");
    }
    let Some(swap) = answer.swap_instruction else {
        return unsupported("missing swap instruction", "ask /swap-instructions, not /swap");
    };
    let mut token_accounts = Vec::new();
    for instruction in &answer.setup_instructions {
        let account = token_account_setup(instruction, swap_authority)?;
        if !token_accounts.contains(&account) {
            token_accounts.push(account);
        }
    }
    if swap.program_id.0 != PROGRAM_ID {
        return Err(JupiterError::OtherProgram { actual: swap.program_id.0 });
    }
    let accounts = swap.metas();
    let mut signers = accounts.iter().filter(|meta| meta.is_signer).map(|meta| meta.pubkey);
    if let Some(actual) = signers.clone().find(|signer| signer != swap_authority) {
        return Err(JupiterError::OtherSigner { actual, expected: *swap_authority });
    }
    if signers.next().is_none() {
        return Err(JupiterError::OtherUser { expected: *swap_authority });
    }
    let layout = Layout::of(&swap.data)?;
    let offset = layout.amount_in_offset(swap.data.len())?;
    let stated = layout.stated(&swap.data)?;
    if stated.amount_in != in_amount {
        let (actual, expected) = (stated.amount_in, in_amount);
        return Err(JupiterError::OtherAmount { offset, actual, expected });
    }
    for (what, said, stated) in [
        ("input", answer.in_amount, stated.amount_in),
        ("output", answer.out_amount, stated.amount_out),
    ] {
        if let Some(said) = said.filter(|said| *said != stated) {
            return Err(JupiterError::Contradiction { what, said, stated });
        }
    }
    stated.require_minimum()?;
    stated.require_allowed(allowed)?;
    let Ok(offset) = u16::try_from(offset) else {
        return unsupported("route plan that long", "set maxAccounts");
    };
    let (source, destination) = layout.ends(&accounts)?;
    let leg = SwapLeg {
        program: PROGRAM_ID,
        accounts,
        input: token,
        amount_in_offset: Some(offset),
        data: swap.data,
    };
    let hops = answer
        .route_plan
        .iter()
        .flat_map(|step| [&step.swap_info.input_mint, &step.swap_info.output_mint]);
    for mint in hops.chain(&answer.input_mint).chain(&answer.output_mint) {
        for program in [TOKEN_PROGRAM_ID, TOKEN_2022_PROGRAM_ID] {
            name(&leg, swap_authority, &mint.0, &program, &mut token_accounts);
        }
    }
    let tables = answer.addresses_by_lookup_table_address.unwrap_or_default().into_keys();
    Ok(JupiterRoute {
        leg,
        source,
        destination,
        lookup_tables: answer
            .address_lookup_table_addresses
            .into_iter()
            .chain(tables)
            .map(|key| key.0)
            .collect(),
        token_accounts,
        stated,
        context_slot: answer.context_slot,
    })
}

/// The associated token account that an instruction creates, whether it may be there
/// (`CreateIdempotent`) or not (`Create`, whose data may be empty): made by ours, which is
/// the same, at the keeper's cost.
fn token_account_setup(
    instruction: &WireInstruction,
    authority: &Address,
) -> Result<Requirement, JupiterError> {
    const CREATES: [&[u8]; 3] = [&[], &[0], &[1]];
    let unsupported = Err(JupiterError::Unsupported {
        what: "setup instruction other than creating a token account",
        remedy: "set wrapAndUnwrapSol to false",
    });
    // Payer, account, owner, mint, system program, token program.
    let [_, account, owner, mint, _, program, ..] = &instruction.accounts[..] else {
        return unsupported;
    };
    let (address, owner) = (account.pubkey.0, owner.pubkey.0);
    let (mint, token_program) = (mint.pubkey.0, program.pubkey.0);
    let is_associated = address == associated_token_account(&owner, &mint, &token_program);
    if instruction.program_id.0 != ASSOCIATED_TOKEN_PROGRAM_ID
        || !CREATES.contains(&&instruction.data[..])
        || !is_associated
    {
        return unsupported;
    }
    if owner != *authority {
        let expected = *authority;
        return Err(JupiterError::ForeignOwner { account: address, owner, expected });
    }
    Ok(Requirement::TokenAccount { address, owner, mint, token_program })
}

#[cfg(test)]
mod tests;
