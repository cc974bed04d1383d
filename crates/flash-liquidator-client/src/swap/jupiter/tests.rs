use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;

const USER: &str = "Cm7vjoV12JuVqCduW6rkGGcgN77NPkzqZr66pkVTzb5b";
/// 0.051586500 SOL, the recorded route's input.
const IN_AMOUNT: u64 = 51_586_500;

/// A swap instruction that Jupiter's API answered with on 2025-10-28: SOL to
/// USDC over one venue.
fn recorded() -> serde_json::Value {
    let readonly =
        |key: &str| serde_json::json!({"pubkey": key, "isSigner": false, "isWritable": false});
    let writable =
        |key: &str| serde_json::json!({"pubkey": key, "isSigner": false, "isWritable": true});
    serde_json::json!({
        "tokenLedgerInstruction": null,
        "computeBudgetInstructions": [{
            "programId": "ComputeBudget111111111111111111111111111111",
            "accounts": [],
            "data": "AsBcFQA="
        }],
        "setupInstructions": [],
        "swapInstruction": {
            "programId": "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4",
            "accounts": [
                readonly("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
                {"pubkey": USER, "isSigner": true, "isWritable": false},
                writable("FkHuP6FSfa8x1WY43U224RU7d9yLodB3XEeNAytX68ZB"),
                writable("2ecynoqxYJWM5McNv9qnLgLGRsGfzdjLHRmWEnyhPJZ4"),
                readonly("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"),
                readonly("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
                readonly("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"),
                readonly("D8cy77BBepLMngZx6ZukaTff5hCt1HrWyKk3Hnd9oitf"),
                readonly("JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4"),
                readonly("TessVdML9pBGgG9yGks7o4HewRaXVAMuoVj4x83GLQH"),
                readonly("8ekCy2jHHUbW2yeNGFWYJT9Hm9FW7SvZcZK66dSZCDiF"),
                writable("FLckHLGMJy5gEoXWwcE68Nprde1D4araK4TGLw4pQq2n"),
                readonly(USER),
                writable("5pVN5XZB8cYBjNLFrsBCPWkCQBan5K5Mq2dWGzwPgGJV"),
                writable("9t4P5wMwfFkyn92Z7hf463qYKEZf8ERVZsGBEPNp8uJx"),
            ],
            "data": "5RfLl3rjrSoBAAAAWQFkAAHEJRMDAAAAALmamAAAAAAAAAAA"
        },
        "cleanupInstruction": null,
        "otherInstructions": [],
        "addressLookupTableAddresses": ["9AKCoNoAGYLW71TwTHY9e7KrZUWWL3c7VtHKb66NT3EV"],
        "prioritizationFeeLamports": 0,
        "computeUnitLimit": 1_400_000,
        "simulationError": null
    })
}

fn payer() -> Address {
    Address::new_from_array([7; 32])
}

fn read_value(value: &serde_json::Value) -> Result<JupiterRoute, JupiterError> {
    let user = USER.parse().unwrap();
    read(&value.to_string(), &user, IN_AMOUNT, 0, &Allowed::default())
}

#[test]
fn a_recorded_answer_becomes_a_leg() {
    let route = read_value(&recorded()).unwrap();
    assert_eq!(route.leg.program, PROGRAM_ID);
    assert_eq!(route.leg.accounts.len(), 15);
    assert_eq!(
        route.leg.accounts[2].pubkey.to_string(),
        "FkHuP6FSfa8x1WY43U224RU7d9yLodB3XEeNAytX68ZB"
    );
    assert!(route.leg.accounts[2].is_writable && !route.leg.accounts[0].is_writable);
    assert_eq!(route.leg.amount_in_offset, Some(17));
    assert_eq!(route.leg.data[17..25], IN_AMOUNT.to_le_bytes());
    assert_eq!(route.lookup_tables.len(), 1);
    assert_eq!(route.token_accounts, []);
}

/// Data that Jupiter's API answered with, and the quoted input and output:
/// a `route_v2` and a `shared_accounts_route_v2` of 2026-09-28, a
/// `shared_accounts_route` of 2026-09-20.
const RECORDED_DATA: [(&str, usize, u64, u64); 3] = [
    ("u2T6zDHErxSAlpgAAAAAAKiTCwAAAAAAMgAAAAAAAQAAAJcAECcAAQ==", 8, 10_000_000, 758_696),
    (
        "0ZhTk3z+2OkGgJaYAAAAAABzExIAAAAAADIAAAAAAAMAAAARAe8kAAIRASECAAJoARAnAgM=",
        9,
        10_000_000,
        1_184_627,
    ),
    ("wSCbM0HWnIEFAQAAAChkAAFAeH0BAAAAAOanMQAAAAAAZAAA", 17, 25_000_000, 3_254_246),
];

#[test]
fn every_exact_in_route_keeps_its_input_where_it_is_recorded() {
    for (data, offset, amount_in, amount_out) in RECORDED_DATA {
        let data = STANDARD.decode(data).unwrap();
        let layout = Layout::of(&data).unwrap();
        assert_eq!(layout.amount_in_offset(data.len()).unwrap(), offset, "{}", layout.name);
        let stated = layout.stated(&data).unwrap();
        assert_eq!((stated.amount_in, stated.amount_out), (amount_in, amount_out));
        assert_eq!((stated.platform_fee_bps, stated.positive_slippage_bps), (0, 0));
        assert!((50..=100).contains(&stated.slippage_bps), "{} {stated:?}", layout.name);
    }
}

/// An answer with these accounts, the swap authority at `signer`.
fn answer(data: &str, accounts: usize, signer: usize) -> serde_json::Value {
    let meta = |n: usize| {
        let key = if n == signer { USER.to_owned() } else { key(n).to_string() };
        serde_json::json!({"pubkey": key, "isSigner": n == signer, "isWritable": true})
    };
    let mut answer = recorded();
    answer["swapInstruction"]["accounts"] = (0..accounts).map(meta).collect();
    answer["swapInstruction"]["data"] = data.into();
    answer
}

fn key(n: usize) -> Address {
    Address::new_from_array([100 + n as u8; 32])
}

#[test]
fn every_exact_in_route_says_what_it_sells_and_whom_it_pays() {
    // Accounts the instruction names, the signer, source and destination.
    let shapes = [(10, 0, 1, 7), (12, 1, 2, 5), (13, 2, 3, 6)];
    for ((data, offset, amount_in, _), (accounts, signer, source, paid)) in
        RECORDED_DATA.into_iter().zip(shapes)
    {
        let user = USER.parse().unwrap();
        let read = |answer: &serde_json::Value| {
            super::read(&answer.to_string(), &user, amount_in, 1, &Allowed::default())
        };
        let complete = answer(data, accounts, signer);
        let route = read(&complete).unwrap();
        assert_eq!((route.source, route.destination), (key(source), key(paid)));
        assert_eq!(route.leg.amount_in_offset, Some(offset as u16));
        assert_eq!((route.leg.input, route.leg.accounts.len()), (1, accounts));
        let short = answer(data, accounts - 1, signer);
        assert!(matches!(read(&short), Err(JupiterError::TooFewAccounts { .. })));
    }
    // The first `route`, and where it has no account of its own to pay.
    let route = read_value(&recorded()).unwrap();
    assert_eq!(route.source.to_string(), "FkHuP6FSfa8x1WY43U224RU7d9yLodB3XEeNAytX68ZB");
    assert_eq!(route.destination.to_string(), "2ecynoqxYJWM5McNv9qnLgLGRsGfzdjLHRmWEnyhPJZ4");
}

#[test]
fn a_route_has_to_fit_the_keepers_accounts() {
    use bytemuck::Zeroable;
    let reserve = |n: usize| ReserveAddresses {
        liquidity_mint: key(n + 1),
        liquidity_token_program: crate::token::TOKEN_PROGRAM_ID,
        ..ReserveAddresses::read(&key(n), &klend_interface::state::Reserve::zeroed())
    };
    let (withdraw, repay) = (reserve(20), reserve(40));
    let own = Route::new(&payer(), &withdraw, &repay);
    let leg = read_value(&recorded()).unwrap();
    let fit = |source, destination| {
        let route = JupiterRoute { source, destination, ..leg.clone() };
        route.into_route(&payer(), &withdraw, &repay, &key(60))
    };
    let (direct, _) = fit(own.swap_collateral, key(60)).unwrap();
    assert_eq!((direct.swap_debt, direct.legs.len()), (None, 1));
    let swap_debt = own.swap_debt.unwrap();
    assert_eq!(fit(own.swap_collateral, swap_debt).unwrap().0.swap_debt, Some(swap_debt));
    assert!(matches!(fit(key(61), key(60)), Err(JupiterError::OtherSource { .. })));
    let error = fit(own.swap_collateral, key(62)).unwrap_err();
    assert!(matches!(error, JupiterError::OtherDestination { actual, .. } if actual == key(62)));
}

/// The newer answer names its tables with what they hold.
#[test]
fn lookup_tables_of_both_answers_are_read() {
    let mut answer = recorded();
    answer["addressLookupTableAddresses"].take();
    answer["addressLookupTableAddresses"] = serde_json::json!([]);
    answer["addressesByLookupTableAddress"] = serde_json::json!({
        "DBmHWCVEGCzZ3zDNr9WzRaMmSqCjcixMh78imXfno9qJ":
            ["EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"]
    });
    answer["tipInstruction"] = serde_json::Value::Null;
    let route = read_value(&answer).unwrap();
    let tables: Vec<_> = route.lookup_tables.iter().map(ToString::to_string).collect();
    assert_eq!(tables, ["DBmHWCVEGCzZ3zDNr9WzRaMmSqCjcixMh78imXfno9qJ"]);
}

#[test]
fn another_amount_than_the_quoted_one_is_refused() {
    let json = recorded().to_string();
    let error =
        read(&json, &USER.parse().unwrap(), IN_AMOUNT + 1, 0, &Allowed::default()).unwrap_err();
    let JupiterError::OtherAmount { offset: 17, actual, expected } = error else {
        panic!("{error}");
    };
    assert_eq!((actual, expected), (IN_AMOUNT, IN_AMOUNT + 1));
}

#[test]
fn only_the_swap_authority_signs() {
    let other = Address::new_from_array([9; 32]);
    let json = recorded().to_string();
    let error = read(&json, &other, IN_AMOUNT, 0, &Allowed::default()).unwrap_err();
    assert!(matches!(error, JupiterError::OtherSigner { expected, .. } if expected == other));

    let mut answer = recorded();
    answer["swapInstruction"]["accounts"][1]["isSigner"] = false.into();
    assert!(matches!(read_value(&answer), Err(JupiterError::OtherUser { .. })));
}

#[test]
fn what_a_leg_cannot_do_is_refused() {
    let memo = serde_json::json!({
        "programId": "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "accounts": [], "data": ""
    });
    for (field, value) in [
        ("tokenLedgerInstruction", memo.clone()),
        ("cleanupInstruction", memo.clone()),
        ("otherInstructions", serde_json::json!([memo])),
        ("tipInstruction", memo.clone()),
        ("setupInstructions", serde_json::json!([memo])),
        ("swapInstruction", serde_json::Value::Null),
    ] {
        let mut answer = recorded();
        answer[field] = value;
        let error = read_value(&answer).unwrap_err();
        assert!(matches!(error, JupiterError::Unsupported { .. }), "{field}: {error}");
    }
    let mut answer = recorded();
    answer["swapInstruction"]["programId"] = memo["programId"].clone();
    assert!(matches!(read_value(&answer), Err(JupiterError::OtherProgram { .. })));
    for (name, discriminator) in [
        ("exact_out_route", [208, 51, 239, 151, 123, 43, 237, 92]),
        ("shared_accounts_exact_out_route", [176, 209, 105, 168, 154, 125, 69, 62]),
        ("exact_out_route_v2", [157, 138, 184, 82, 21, 244, 243, 36]),
        ("shared_accounts_exact_out_route_v2", [53, 96, 229, 202, 216, 187, 250, 24]),
        ("route_with_token_ledger", [150, 86, 71, 116, 167, 93, 14, 104]),
        ("shared_accounts_route_with_token_ledger", [230, 121, 143, 80, 119, 159, 106, 170]),
    ] {
        answer = recorded();
        answer["swapInstruction"]["data"] = STANDARD.encode(discriminator).into();
        let error = read_value(&answer).unwrap_err();
        let JupiterError::NotExactIn { instruction, remedy } = error else {
            panic!("{name}: {error}");
        };
        assert_eq!((instruction, remedy.contains("Ledger")), (name, name.contains("ledger")));
    }
    answer["swapInstruction"]["data"] = STANDARD.encode([1; 8]).into();
    assert!(matches!(read_value(&answer), Err(JupiterError::UnknownInstruction { .. })));
    answer["swapInstruction"]["data"] =
        STANDARD.encode([229, 23, 203, 151, 122, 227, 173, 42, 1]).into();
    assert!(matches!(read_value(&answer), Err(JupiterError::TooShort { .. })));
    answer["swapInstruction"]["data"] =
        STANDARD.encode([187, 100, 250, 204, 49, 196, 175, 20, 1]).into();
    assert!(matches!(read_value(&answer), Err(JupiterError::TooShort { .. })));
    assert!(matches!(
        read_value(&serde_json::json!({"error": "no route", "errorCode": "NO_ROUTE"})),
        Err(JupiterError::Refused(reason)) if reason == "no route"
    ));
}

/// The creation of a token account as an answer has it.
fn creation(owner: &Address, data: &[u8]) -> (serde_json::Value, Requirement) {
    let mint = Address::new_from_array([3; 32]);
    let program = crate::token::TOKEN_PROGRAM_ID;
    let create = crate::token::create_associated_token_account(owner, owner, &mint, &program);
    let accounts: Vec<_> = create
        .accounts
        .iter()
        .map(|meta| {
            serde_json::json!({
                "pubkey": meta.pubkey.to_string(),
                "isSigner": meta.is_signer,
                "isWritable": meta.is_writable,
            })
        })
        .collect();
    let instruction = serde_json::json!({
        "programId": create.program_id.to_string(),
        "accounts": accounts,
        "data": STANDARD.encode(data),
    });
    let address = create.accounts[1].pubkey;
    (
        instruction,
        Requirement::TokenAccount { address, owner: *owner, mint, token_program: program },
    )
}

/// `Create`, spelled out or not, and `CreateIdempotent` are one account of ours.
#[test]
fn token_accounts_that_are_created_are_ours_to_create() {
    let user: Address = USER.parse().unwrap();
    let mut answer = recorded();
    let created = [&[][..], &[0], &[1]].map(|data| creation(&user, data));
    answer["setupInstructions"] =
        created.iter().map(|(instruction, _)| instruction.clone()).collect();
    let [(_, expected), ..] = created;
    assert_eq!(
        read_value(&answer).unwrap().token_accounts[..],
        std::slice::from_ref(&expected)[..]
    );
    // At the keeper's cost, and where it is there already, too.
    let ours = expected.create(&payer()).unwrap();
    assert_eq!((ours.accounts[0].pubkey, &ours.data[..]), (payer(), &[1][..]));
    // Another instruction of that program, and somebody else's account.
    answer["setupInstructions"] = serde_json::json!([creation(&user, &[2]).0]);
    assert!(matches!(read_value(&answer), Err(JupiterError::Unsupported { .. })));
    answer["setupInstructions"] = serde_json::json!([creation(&payer(), &[]).0]);
    let error = read_value(&answer).unwrap_err();
    assert!(
        matches!(error, JupiterError::ForeignOwner { owner, .. } if owner == payer()),
        "{error}"
    );
}

/// The account in the slot of the one paid has to exist even where another is paid, and so
/// do those of the tokens on the way.
#[test]
fn token_accounts_that_a_route_names_have_to_exist() {
    let user: Address = USER.parse().unwrap();
    let (mint, between) = (Address::new_from_array([51; 32]), Address::new_from_array([52; 32]));
    let account = |mint: &Address, program| associated_token_account(&user, mint, program);
    let mut answer = recorded();
    answer["swapInstruction"]["accounts"][3]["pubkey"] =
        account(&mint, &TOKEN_PROGRAM_ID).to_string().into();
    answer["swapInstruction"]["accounts"][13]["pubkey"] =
        account(&between, &TOKEN_2022_PROGRAM_ID).to_string().into();
    answer["outputMint"] = mint.to_string().into();
    answer["routePlan"] = serde_json::json!([{
        "swapInfo": { "inputMint": key(1).to_string(), "outputMint": between.to_string() },
        "percent": 100,
    }]);
    let route = read_value(&answer).unwrap();
    let named: Vec<Address> = route.token_accounts.iter().map(Requirement::address).collect();
    assert_eq!(
        named,
        [account(&between, &TOKEN_2022_PROGRAM_ID), account(&mint, &TOKEN_PROGRAM_ID)]
    );
}

/// A `route_v2` with these figures.
fn route_v2(amount_out: u64, bps: [u16; 3]) -> serde_json::Value {
    let mut data = STANDARD.decode(RECORDED_DATA[0].0).unwrap();
    data[8..16].copy_from_slice(&IN_AMOUNT.to_le_bytes());
    data[16..24].copy_from_slice(&amount_out.to_le_bytes());
    for (at, bps) in [24, 26, 28].into_iter().zip(bps) {
        data[at..at + 2].copy_from_slice(&bps.to_le_bytes());
    }
    answer(&STANDARD.encode(data), 10, 0)
}

#[test]
fn fees_are_refused_unless_they_are_allowed() {
    let user = USER.parse().unwrap();
    let read = |answer: &serde_json::Value, allowed: &Allowed| {
        super::read(&answer.to_string(), &user, IN_AMOUNT, 0, allowed)
    };
    assert!(read(&route_v2(9, [50, 0, 0]), &Allowed::default()).is_ok());
    for (bps, allowed) in [
        ([50, 20, 0], Allowed { platform_fee_bps: 20, positive_slippage_bps: 0 }),
        ([50, 0, 10_000], Allowed { platform_fee_bps: 0, positive_slippage_bps: 10_000 }),
    ] {
        let error = read(&route_v2(9, bps), &Allowed::default()).unwrap_err();
        assert!(matches!(error, JupiterError::Fee { .. }), "{error}");
        assert!(error.to_string().contains(&bps[1].max(bps[2]).to_string()), "{error}");
        let route = read(&route_v2(9, bps), &allowed).unwrap();
        let stated = route.stated;
        assert_eq!(
            [stated.slippage_bps, stated.platform_fee_bps, stated.positive_slippage_bps],
            bps
        );
    }
    // The first generation has one byte for a platform's fee.
    let mut data = STANDARD.decode(RECORDED_DATA[2].0).unwrap();
    *data.last_mut().unwrap() = 85;
    let answer = answer(&STANDARD.encode(data), 13, 2);
    let error = super::read(&answer.to_string(), &user, 25_000_000, 0, &Allowed::default());
    assert!(matches!(error, Err(JupiterError::Fee { .. })), "{error:?}");
}

#[test]
fn what_may_bring_nothing_is_refused() {
    for (amount_out, slippage) in [(0, 50), (9, 10_000)] {
        let error = read_value(&route_v2(amount_out, [slippage, 0, 0])).unwrap_err();
        assert!(matches!(error, JupiterError::NoMinimum { .. }), "{error}");
    }
}

#[test]
fn a_smaller_amount_shrinks_the_quote_and_a_larger_one_is_refused() {
    let route = read_value(&route_v2(1_000_000, [50, 0, 0])).unwrap();
    let half = route.resized(IN_AMOUNT / 2).unwrap();
    assert_eq!((half.stated.amount_in, half.stated.amount_out), (IN_AMOUNT / 2, 500_000));
    let written = Layout::of(&half.leg.data).unwrap().stated(&half.leg.data).unwrap();
    assert_eq!(written, half.stated);
    // All else is as it was.
    assert_eq!(half.leg.data[..8], route.leg.data[..8]);
    assert_eq!(half.leg.data[24..], route.leg.data[24..]);
    assert_eq!(route.resized(IN_AMOUNT).unwrap(), route);
    let error = route.resized(IN_AMOUNT + 1).unwrap_err();
    let JupiterError::OtherSize { quoted: IN_AMOUNT, wanted } = error else { panic!("{error}") };
    assert_eq!(wanted, IN_AMOUNT + 1);
    assert!(matches!(route.resized(1), Err(JupiterError::NoMinimum { .. })));
}

#[test]
fn an_answer_has_to_be_to_the_question() {
    let ask = Ask {
        sold: key(1),
        bought: key(2),
        amount: IN_AMOUNT,
        authority: USER.parse().unwrap(),
        payer: payer(),
        slippage_bps: 50,
        max_accounts: 200,
    };
    let parameters = ask.parameters();
    let of = |name: &str| parameters.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
    assert_eq!((of("taker"), of("maxAccounts"), of("wrapAndUnwrapSol")), (USER, "64", "false"));
    let mut answer = route_v2(9, [50, 0, 0]);
    answer["inputMint"] = key(1).to_string().into();
    answer["outputMint"] = key(2).to_string().into();
    answer["inAmount"] = IN_AMOUNT.to_string().into();
    answer["outAmount"] = "9".into();
    let read =
        |answer: &serde_json::Value| read_build(&answer.to_string(), &ask, &Allowed::default());
    assert!(read(&answer).is_ok());
    for (field, value) in [("outputMint", key(3).to_string()), ("inputMint", key(2).to_string())] {
        let mut other = answer.clone();
        other[field] = value.into();
        assert!(matches!(read(&other), Err(JupiterError::OtherQuestion { .. })), "{field}");
    }
    for (field, value) in [("inAmount", "1"), ("outAmount", "10")] {
        let mut other = answer.clone();
        other[field] = value.into();
        assert!(matches!(read(&other), Err(JupiterError::Contradiction { .. })), "{field}");
    }
    for (field, value) in [("inAmount", serde_json::json!(1)), ("outputMint", "mint".into())] {
        let mut other = answer.clone();
        other[field] = value;
        assert!(matches!(read(&other), Err(JupiterError::Json(_))), "{field}");
    }
    // More slippage than was asked for.
    let mut other = route_v2(9, [51, 0, 0]);
    other["outAmount"] = "9".into();
    assert!(matches!(read(&other), Err(JupiterError::OtherQuestion { what: "slippage", .. })));
}
