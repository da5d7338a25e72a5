use std::future::poll_fn;
use std::task::Waker;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::login::KEPT_OF_LOGIN;
use crate::pack::unpack;

const LIMITS: Limits = Limits { max_message_bytes: 1 << 20, allow_cleartext_password: false, password_bytes: 10 };

/// One side of a recorded exchange, and what must be known once all of it has passed.
enum Step {
    Client(Vec<u8>),
    Server(Vec<u8>),
    /// Status byte, working.
    Expect(u8, bool),
}
use Step::{Client, Expect, Server};

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).unwrap();
    [&[tag], &len.to_be_bytes()[..], body].concat()
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0u\0\0";
    let len = u32::try_from(body.len() + 4).unwrap();
    [&len.to_be_bytes()[..], body].concat()
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

fn tag(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

/// Parse, bind, execute; a failing statement; a pipeline; a transaction that is rolled back; closing a statement;
/// COPY in; notices and parameters in between.
fn exchange() -> Vec<Step> {
    let execute = || [message(b'B', b"\0s0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), sync()].concat();
    vec![
        Client(startup()),
        Server(message(b'R', &[0, 0, 0, 10, b'S'])),
        Client(message(b'p', b"SCRAM-SHA-256\0\0\0\0\x03n,,")),
        Server(
            [
                message(b'R', &[0, 0, 0, 0]),
                message(b'S', b"standard_conforming_strings\0on\0"),
                message(b'S', b"server_version\x0015.18 (Debian)\0"),
                message(b'K', &[0; 8]),
                ready(b'I'),
            ]
            .concat(),
        ),
        Expect(b'I', false),
        Client([message(b'P', b"s0\0SELECT\0\0\0"), message(b'D', b"Ss0\0"), sync()].concat()),
        Expect(b'I', true),
        Server([message(b'1', b""), message(b'n', b""), ready(b'I')].concat()),
        Expect(b'I', false),
        // A row whose bytes look like messages.
        Client(execute()),
        Server([message(b'2', b""), message(b'D', b"\0\x01\0\0\0\x06Z\0\0\0\x05E"), tag("SELECT 1")].concat()),
        Expect(b'I', true),
        Server(ready(b'I')),
        Expect(b'I', false),
        Client(message(b'Q', b"BEGIN\0")),
        Server([tag("BEGIN"), ready(b'T')].concat()),
        Expect(b'T', false),
        // Two in flight, the first fails.
        Client([execute(), execute()].concat()),
        Server(message(b'E', b"SERROR\0C22012\0\0")),
        Expect(b'T', true),
        Server(ready(b'E')),
        Expect(b'E', true),
        Server([message(b'E', b"SERROR\0C25P02\0\0"), ready(b'E')].concat()),
        Expect(b'E', false),
        Client(message(b'Q', b"COMMIT\0")),
        Server([tag("ROLLBACK"), message(b'N', b"SWARNING\0\0"), ready(b'I')].concat()),
        Expect(b'I', false),
        // Closing a statement is nobody's work.
        Client([message(b'C', b"Ss0\0"), sync()].concat()),
        Expect(b'I', false),
        Server([message(b'3', b""), message(b'S', b"standard_conforming_strings\0off\0"), ready(b'I')].concat()),
        Expect(b'I', false),
        // COPY in: the Sync behind Execute is ignored by the server, and so is its ReadyForQuery.
        Client(execute()),
        Server([message(b'2', b""), message(b'G', b"\0\0\0")].concat()),
        Expect(b'I', true),
        Client([message(b'd', b"S\0\0\0\x04"), message(b'c', b""), sync()].concat()),
        Expect(b'I', true),
        Server([tag("COPY 1"), ready(b'I')].concat()),
        Expect(b'I', false),
        // COPY in that the server ends.
        Client(execute()),
        Server([message(b'2', b""), message(b'G', b"\0\0\0"), message(b'E', b"SERROR\0\0")].concat()),
        Client([message(b'f', b"\0"), sync()].concat()),
        Expect(b'I', true),
        Server(ready(b'I')),
        Expect(b'I', false),
        Client(message(b'Q', b"COMMIT\0")),
        Server([tag("COMMIT"), ready(b'I')].concat()),
        Client(message(b'Q', b"DISCARD ALL\0")),
        Server([tag("DISCARD ALL"), ready(b'I')].concat()),
        Expect(b'I', false),
        Client(message(b'X', b"")),
    ]
}

fn play(chunk: usize) -> Arc<GuardState> {
    let state = GuardState::new();
    let mut watch = Watch::new(state.clone(), LIMITS);
    for (index, step) in exchange().into_iter().enumerate() {
        match step {
            Client(bytes) => bytes.chunks(chunk).for_each(|bytes| watch.wrote(bytes).unwrap()),
            Server(bytes) => bytes.chunks(chunk).for_each(|bytes| watch.read(bytes).unwrap()),
            Expect(status, working) => {
                let found = (state.transaction_status(), state.is_working());
                assert_eq!(found, (status, working), "step {index} in chunks of {chunk}");
            }
        }
    }
    assert!(watch.groups.is_empty());
    state
}

#[test]
fn an_exchange_is_understood_however_it_is_cut() {
    for chunk in (1..40).chain([usize::MAX]) {
        let state = play(chunk);
        assert_eq!(state.endings(), (1, 1));
        assert_eq!(state.deallocations(), 1);
        assert!(!state.standard_strings());
        assert_eq!(state.server_version(), "15.18 (Debian)");
    }
}

#[test]
fn a_message_is_understood_when_cut_in_two_at_any_byte() {
    let server: Vec<u8> = exchange()
        .into_iter()
        .flat_map(|step| match step {
            Server(bytes) => bytes,
            _ => Vec::new(),
        })
        .collect();
    for cut in 0..=server.len() {
        let state = GuardState::new();
        let mut watch = Watch::new(state.clone(), LIMITS);
        watch.read(&server[..cut]).unwrap();
        watch.read(&server[cut..]).unwrap();
        assert_eq!((state.endings(), state.transaction_status()), ((1, 1), b'I'), "cut at {cut}");
    }
}

#[test]
fn messages_that_are_too_long_or_have_no_length_are_refused() {
    for (bytes, refused) in [
        (&b"D\0\x10\0\0"[..], false),
        (b"D\0\x10\0\x01", true),
        (b"D\xff\xff\xff\xff", true),
        (b"D\0\0\0\x03", true),
        (b"D\0\0\0\0", true),
    ] {
        let mut watch = Watch::new(GuardState::new(), LIMITS);
        assert_eq!(watch.read(bytes).is_err(), refused, "{bytes:?}");
    }
}

#[test]
fn a_request_for_the_password_in_clear_text_is_refused() {
    let request = message(b'R', &[0, 0, 0, 3]);
    let state = GuardState::new();
    assert!(Watch::new(state.clone(), LIMITS).read(&request).is_err());
    assert_eq!(state.refused(), Some(Refused::Cleartext));
    let allowed = Limits { allow_cleartext_password: true, ..LIMITS };
    Watch::new(GuardState::new(), allowed).read(&request).unwrap();
    for other in [[0, 0, 0, 0], [0, 0, 0, 5], [0, 0, 0, 10]] {
        Watch::new(GuardState::new(), LIMITS).read(&message(b'R', &other)).unwrap();
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, chunk in 1_usize..9) {
        let mut watch = Watch::new(GuardState::new(), LIMITS);
        for bytes in bytes.chunks(chunk) {
            let _ = (watch.read(bytes), watch.wrote(bytes));
        }
    }
}

/// The server's first message of SCRAM.
fn challenge(nonce: &str, rounds: &str) -> Vec<u8> {
    message(b'R', format!("\0\0\0\x0br={nonce},s=bm90IGEgcmVhbCBzYWx0,i={rounds}").as_bytes())
}

#[test]
fn a_login_that_takes_too_much_computing_is_refused() {
    let nonce = "n".repeat(48);
    let long = "n".repeat(KEPT_OF_LOGIN);
    for (nonce, rounds, password_bytes, taken) in [
        (&nonce, "4096", 10, true),
        (&nonce, "4096", 4_000, true),
        (&nonce, "4096", 100_000, false),
        (&nonce, "100000", 63, true),
        (&nonce, "100001", 10, false),
        (&nonce, "2147483648", 10, false),
        (&nonce, "99999999999999999999999999", 10, false),
        (&nonce, "1", usize::MAX, false),
        // Which is no number: the driver says so.
        (&nonce, "-1", 10, true),
        (&long, "1", 10, false),
    ] {
        for chunk in [1, 7, usize::MAX] {
            let state = GuardState::new();
            let mut watch = Watch::new(state.clone(), Limits { password_bytes, ..LIMITS });
            let result = challenge(nonce, rounds).chunks(chunk).try_for_each(|bytes| watch.read(bytes));
            assert_eq!(result.is_ok(), taken, "{rounds} with {password_bytes}");
            assert_eq!(state.refused(), (!taken).then_some(Refused::Computing));
        }
    }
}

#[tokio::test]
async fn the_startup_message_gets_the_settings_of_the_session() {
    for chunk in [1, 3, 1000] {
        let (near, mut far) = tokio::io::duplex(1000);
        let mut guard = Guard::new(near, GuardState::new(), LIMITS);
        for bytes in [startup(), sync()].concat().chunks(chunk) {
            guard.write_all(bytes).await.unwrap();
        }
        guard.shutdown().await.unwrap();
        drop(guard);
        let mut found = Vec::new();
        far.read_to_end(&mut found).await.unwrap();
        let expected = b"\0\0\0\x2b\0\x03\0\0user\0u\0TimeZone\0UTC\0DateStyle\0ISO\0\0";
        assert_eq!(found, [&expected[..], &sync()].concat());
    }
    assert!(with_settings(Vec::new()).is_err() && with_settings(vec![1; 9]).is_err());
}

#[tokio::test]
async fn the_end_of_the_stream_closes() {
    let state = GuardState::new();
    let (near, mut far) = tokio::io::duplex(64);
    let mut guard = Guard::new(near, state.clone(), LIMITS);
    far.write_all(&ready(b'I')).await.unwrap();
    let mut bytes = [0; 16];
    assert_eq!(guard.read(&mut bytes).await.unwrap(), 6);
    assert!(!state.is_closed());
    drop(far);
    assert_eq!(guard.read(&mut bytes).await.unwrap(), 0);
    assert!(state.is_closed());
    state.closed().await;
}

#[tokio::test]
async fn an_error_is_answered_by_ready_for_query() {
    let state = GuardState::new();
    let mut watch = Watch::new(state.clone(), LIMITS);
    state.error_answered().await;
    watch.read(&message(b'E', b"\0")).unwrap();
    let mut answered = Box::pin(state.error_answered());
    assert!(poll_fn(|cx| Poll::Ready(answered.as_mut().poll(cx).is_pending())).await);
    watch.read(&ready(b'I')).unwrap();
    answered.await;
}

#[tokio::test]
async fn binds_get_their_formats_through_a_socket_that_takes_little_at_a_time() {
    let bind = |statement: &str, parameters: &[u8], end: &[u8]| {
        message(b'B', &[b"\0", statement.as_bytes(), b"\0", parameters, end].concat())
    };
    let state = GuardState::new();
    let (near, mut far) = tokio::io::duplex(7);
    let mut guard = Guard::new(near, state.clone(), LIMITS);
    let long = vec![b'B'; 100_000];
    let reader = tokio::spawn(async move {
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.map(|_| bytes)
    });
    let (binary, end) = (&[0, 1, 0, 1][..], &[0, 2, 0, 0, 0, 1][..]);
    let mut expected = Vec::new();
    // The first message is under way when the statement gets its formats.
    let first = [startup(), bind("s1", &long, binary)].concat();
    guard.write_all(&first[..50_000]).await.unwrap();
    state.formats.insert("s1", [true, false].into_iter());
    guard.write_all(&first[50_000..]).await.unwrap();
    expected.extend(with_settings(startup()).unwrap());
    expected.extend(bind("s1", &long, binary));
    for (given, becomes) in [
        (bind("s1", &long, binary), bind("s1", &long, end)),
        (bind("s2", &long, binary), bind("s2", &long, binary)),
        (bind("s1", b"", binary), bind("s1", b"", end)),
        (sync(), sync()),
        (message(b'C', b"Ss1\0"), message(b'C', b"Ss1\0")),
        (sync(), sync()),
        // It is closed: another statement of that name would have no formats.
        (bind("s1", b"", binary), bind("s1", b"", binary)),
    ] {
        guard.write_all(&given).await.unwrap();
        expected.extend(becomes);
    }
    guard.flush().await.unwrap();
    assert!(state.is_working() && state.formats.is_empty());
    guard.shutdown().await.unwrap();
    drop(guard);
    assert!(reader.await.unwrap().unwrap() == expected);
}

/// A server that says what it says in these parts.
struct Parts(VecDeque<Vec<u8>>);

impl AsyncRead for Parts {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut part) = self.0.pop_front() {
            let rest = part.split_off(part.len().min(buf.remaining()));
            buf.put_slice(&part);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What the driver is given of `server` after `client` was written, reading `room` bytes at a time.
fn given(packed: &[&str], client: &[u8], server: &[u8], part: usize, room: usize) -> io::Result<Vec<u8>> {
    let state = GuardState::new();
    packed.iter().for_each(|name| assert!(state.packed.insert(name)));
    let parts = server.chunks(part).map(<[u8]>::to_vec).collect();
    let mut guard = Guard::new(Parts(parts), state, LIMITS);
    guard.watch.wrote(&startup())?;
    guard.watch.wrote(client)?;
    let (mut given, mut room) = (Vec::new(), vec![0; room]);
    loop {
        let mut buf = ReadBuf::new(&mut room);
        let Poll::Ready(read) = Pin::new(&mut guard).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf)
        else {
            panic!("the parts are always ready");
        };
        read?;
        match buf.filled() {
            [] => break,
            filled => given.extend_from_slice(filled),
        }
    }
    Ok(given)
}

type Cells = Vec<Option<Vec<u8>>>;

fn row(cells: &Cells) -> Vec<u8> {
    let mut body = u16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
    for cell in cells {
        let len = cell.as_ref().map_or(-1, |cell| i32::try_from(cell.len()).unwrap());
        body.extend(len.to_be_bytes());
        body.extend(cell.iter().flatten());
    }
    message(b'D', &body)
}

/// The messages of the driver, those with rows of packed statements as those rows.
fn unpacked(mut bytes: &[u8], is_packed: impl Fn(usize) -> bool) -> Vec<u8> {
    let (mut answer, mut found) = (0, Vec::new());
    while let Some((tag, rest)) = bytes.split_first() {
        let len = u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize;
        let (body, next) = (&rest[4..len], &rest[len..]);
        if *tag == b'D' && is_packed(answer) {
            let columns = usize::from(u16::from_be_bytes(*body.first_chunk().unwrap()));
            let packed = u32::from_be_bytes(*body[2..].first_chunk().unwrap()) as usize;
            let (packed, nulls) = body[6..].split_at(packed);
            assert_eq!(nulls, [-1_i32; 9].map(i32::to_be_bytes)[..columns - 1].concat());
            for cells in unpack(packed, columns).unwrap().chunks(columns) {
                found.extend(row(&cells.iter().map(|cell| cell.of(packed).map(<[u8]>::to_vec)).collect()));
            }
        } else {
            found.extend(message(*tag, body));
        }
        answer += usize::from(*tag == b'Z');
        bytes = next;
    }
    found
}

fn execute(statement: &str) -> Vec<u8> {
    let bind = message(b'B', &[b"\0", statement.as_bytes(), b"\0\0\0\0\0\0\0"].concat());
    [bind, message(b'E', b"\0\0\0\0\0"), sync()].concat()
}

fn any_rows() -> impl Strategy<Value = Vec<Cells>> {
    let cell = prop_oneof![
        1 => Just(None),
        8 => proptest::collection::vec(any::<u8>(), 0..12).prop_map(Some),
        1 => (0_usize..20_000).prop_map(|len| Some(vec![b'D'; len])),
    ];
    (1_usize..6).prop_flat_map(move |columns| {
        proptest::collection::vec(proptest::collection::vec(cell.clone(), columns), 0..40)
    })
}

proptest! {
    #[test]
    fn rows_are_packed_however_they_are_cut(
        answers in proptest::collection::vec((any::<bool>(), any_rows(), any::<bool>()), 1..5),
        part in prop_oneof![1_usize..20, Just(1_000), Just(100_000)],
        room in prop_oneof![1_usize..20, Just(8_192), Just(100_000)],
    ) {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        for (is_packed, rows, has_notice) in &answers {
            client.extend(execute(if *is_packed { "s7" } else { "s70" }));
            server.extend(message(b'2', b""));
            for (index, cells) in rows.iter().enumerate() {
                if *has_notice && index == 3 {
                    server.extend(message(b'N', &[b'D'; 300]));
                }
                server.extend(row(cells));
            }
            server.extend([tag("SELECT 1"), ready(b'I')].concat());
        }
        let given = given(&["s7"], &client, &server, part, room).unwrap();
        prop_assert!(unpacked(&given, |answer| answers[answer].0) == server);
        if answers.iter().all(|(is_packed, ..)| !is_packed) {
            prop_assert!(given == server);
        }
    }

    #[test]
    fn no_bytes_of_rows_panic(bytes: Vec<u8>, rows in any_rows(), at: proptest::sample::Index, to: u8, part in 1_usize..99) {
        let _ = unpack(&bytes, 3);
        let mut server = rows.iter().flat_map(row).chain(bytes).chain(ready(b'I')).collect::<Vec<_>>();
        let at = at.index(server.len());
        server[at] = to;
        let _ = given(&["s7"], &execute("s7"), &server, part, 100);
    }
}

#[test]
fn rows_that_come_before_their_sync_was_written_are_packed() {
    let written = execute("s7");
    let rows = [row(&vec![Some(vec![1]), None]), row(&vec![None, Some(vec![2; 30_000])])].concat();
    let given = given(&["s7"], &written[..written.len() - 5], &rows, 1_000, 1_000).unwrap();
    assert!(given != rows && unpacked(&given, |_| true) == rows);
}

#[test]
fn a_closed_statement_is_packed_no_more() {
    let rows = [row(&vec![Some(vec![1])]), ready(b'I')].concat();
    let client = [message(b'C', b"Ss7\0"), sync(), execute("s7")].concat();
    let server = [message(b'3', b""), ready(b'I'), rows].concat();
    assert_eq!(given(&["s7"], &client, &server, 10, 10).unwrap(), server);
}

#[test]
fn packed_rows_are_limited_as_others_are() {
    for (len, refused) in [(1 << 20, false), ((1 << 20) + 1, true), (u32::MAX, true), (3, true), (5, true)] {
        let server = [&b"D"[..], &u32::to_be_bytes(len), &[0, 1, 0, 0, 0, 0]].concat();
        assert_eq!(given(&["s7"], &execute("s7"), &server, 100, 100).is_err(), refused, "{len}");
    }
    assert!(given(&["s7"], &execute("s7"), &message(b'D', &[0, 0]), 100, 100).is_err());
}

#[tokio::test]
async fn many_calls_write_together_and_a_few_at_once() {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let state = GuardState::new();
    let mut guard = Guard::new(near, state.clone(), LIMITS);
    guard.write_all(&startup()).await.unwrap();
    let (small, large) = (sync(), message(b'Q', &[b' '; ENOUGH_BYTES]));
    let mut sent = Vec::new();
    for (calls, bytes, expected) in
        [(1, &small, 1), (MANY_CALLS - 1, &small, 1), (MANY_CALLS, &small, 2), (64, &small, 2), (64, &large, 1)]
    {
        state.calls.store(calls, SeqCst);
        let mut turns = 0;
        let written = poll_fn(|cx| {
            turns += 1;
            Pin::new(&mut guard).poll_write(cx, bytes)
        });
        assert_eq!(written.await.unwrap(), bytes.len());
        assert_eq!(turns, expected, "{calls} calls, {} bytes", bytes.len());
        sent.extend_from_slice(bytes);
    }
    guard.flush().await.unwrap();
    drop(guard);
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert!(received.ends_with(&sent));
}
