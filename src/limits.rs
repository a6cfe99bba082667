//! Every bound of the node, with its reason. What an operator needs to turn lives in `config` and starts from here.

#![forbid(unsafe_code)]

/// Unit of disk writes: flushes start and end on it. O_DIRECT on the file systems in use wants 512 or 4,096.
pub const BLOCK_BYTES: usize = 4096;

/// Largest partition key, in characters, as in Kinesis.
pub const KEY_CHARS_MAX: usize = 256;

/// Largest partition key in bytes: 256 characters of 4 bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = KEY_CHARS_MAX * 4;

/// Smallest bound a stream can set on its records: 1 KiB. Any lower, and a key of full length would not fit.
pub const RECORD_BYTES_MIN: u32 = 1 << 10;

/// Largest record (data and key) a stream takes unless it says otherwise, as in Kinesis: 1 MiB.
pub const RECORD_BYTES_DEFAULT: u32 = 1 << 20;

/// Largest record any stream can be set to take, as in Kinesis: 10 MiB.
pub const RECORD_BYTES_MAX: u32 = 10 << 20;

/// Largest frame body: the largest record with its header and key fits, so does the largest `PutRecords` of Kinesis.
pub const FRAME_BODY_BYTES_MAX: u32 = RECORD_BYTES_MAX + (64 << 10);

/// Records in one frame at most. Offsets inside a frame are found by walking, so this also bounds that walk.
pub const FRAME_RECORDS_MAX: u32 = 65_536;

/// Bytes that a shard may have accepted and not yet synced. Two of the largest frames: one in flight, one gathering.
pub const SHARD_UNSYNCED_BYTES_MAX: usize = 2 * (FRAME_BODY_BYTES_MAX as usize + 2 * BLOCK_BYTES);

/// Memory that a worker may use unless the operator says otherwise, in [`MEMORY_PARTS`].
pub const WORKER_MEMORY_BYTES: usize = 1536 << 20;

/// The memory of a worker is given out in so many parts; what each is for is said in `config::memory`.
pub const MEMORY_PARTS: usize = 16;

/// The least such a part can be, so that the largest request, the largest frame and a cold read fit where they have to.
pub const MEMORY_PART_BYTES_MIN: usize = 16 << 20;

/// Bytes that all shards of a worker together may have accepted and not yet synced, unless the operator sets the memory.
pub const WORKER_UNSYNCED_BYTES_MAX: usize = 4 * (WORKER_MEMORY_BYTES / MEMORY_PARTS);

/// A flush gathers up to this much in one buffer before the next buffer is started, unless one frame alone is larger.
pub const FLUSH_BYTES_MAX: usize = 1 << 20;

/// Puts without a producer stamp and with bodies up to this size are merged into one frame while they wait together;
/// above it the 128 bytes of a header of their own no longer matter.
pub const MERGE_BODY_BYTES_MAX: usize = 16 << 10;

/// A merged frame stops growing here, so that a reader who wants one record does not fetch a megabyte.
pub const MERGED_FRAME_BYTES_MAX: usize = 64 << 10;

/// First segment of a shard: small, so that ten thousand idle shards stay cheap.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// Largest segment: big enough that rolling is rare at 1 GB/s, small enough that retention frees space steadily.
pub const SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// One entry of the sparse index for every this many bytes of log.
pub const INDEX_INTERVAL_BYTES: u64 = 64 << 10;

/// Producers that a shard remembers for idempotent resends; the least recently used one is forgotten first.
pub const PRODUCERS_PER_SHARD_MAX: usize = 1024;

/// Batches of one producer and shard that may be unacknowledged at a time; as many are remembered for resends.
pub const PRODUCER_WINDOW: usize = 8;

/// A producer that wrote within this time is not forgotten for another one: a resend this soon is stored once, however
/// many producers there are. Clients stop resending, and report an unknown outcome, before it has passed.
pub const PRODUCER_KEEP_US: u64 = 60_000_000;

/// Streams on one node.
pub const STREAMS_MAX: usize = 10_000;

/// Shards on one node.
pub const SHARDS_MAX: usize = 100_000;

/// Open shards of one stream.
pub const SHARDS_PER_STREAM_MAX: u32 = 10_000;

/// Longest stream name, as in Kinesis.
pub const STREAM_NAME_BYTES_MAX: usize = 128;

/// Shortest retention, as in Kinesis: 24 hours. Also the default.
pub const RETENTION_HOURS_MIN: u32 = 24;

/// Longest retention, as in Kinesis: 365 days.
pub const RETENTION_HOURS_MAX: u32 = 8_760;

/// Shards that an on-demand stream is created with unless asked otherwise, as in Kinesis.
pub const ON_DEMAND_SHARDS: u32 = 4;

/// The fewest shards of an on-demand stream unless set otherwise, as in Kinesis: what it starts with.
pub const ON_DEMAND_SHARDS_MIN_DEFAULT: u32 = ON_DEMAND_SHARDS;

/// The most shards of an on-demand stream unless set otherwise: 200 MiB/s, as in Kinesis.
pub const ON_DEMAND_SHARDS_MAX_DEFAULT: u32 = 200;

/// Most warm throughput, in MiB per second, as in Kinesis: 10 GiB/s.
pub const WARM_THROUGHPUT_MIB_MAX: u32 = 10_240;

/// With limits = aws: how often a stream can be scaled in 24 hours.
pub const AWS_SCALINGS_PER_DAY: usize = 10;

/// With limits = aws: how often the mode of a stream can be switched in 24 hours.
pub const AWS_MODE_SWITCHES_PER_DAY: usize = 2;

/// With limits = aws: how often a key for encryption can be set in 24 hours, and how often encryption can be stopped.
pub const AWS_ENCRYPTION_CHANGES_PER_DAY: usize = 25;

/// The clock of a node is at the year 10,000 at most: later times can be added to without running over.
pub const WALL_US_MAX: u64 = 253_402_300_800_000_000;

/// Tags of a stream or a consumer, as in Kinesis.
pub const TAGS_MAX: usize = 50;

/// Longest key of a tag, as in Kinesis.
pub const TAG_KEY_CHARS_MAX: usize = 128;

/// Longest value of a tag, as in Kinesis.
pub const TAG_VALUE_CHARS_MAX: usize = 256;

/// Longest name of an encryption key, as in Kinesis.
pub const KMS_KEY_ID_BYTES_MAX: usize = 2_048;

/// Longest resource policy, as in Kinesis: 20 KiB.
pub const POLICY_BYTES_MAX: usize = 20 << 10;

/// Registered consumers of a stream, as in Kinesis with On-demand Advantage.
pub const CONSUMERS_PER_STREAM_MAX: usize = 50;

/// With limits = aws: registered consumers of a stream.
pub const AWS_CONSUMERS_PER_STREAM: usize = 20;

/// Longest name of a consumer, as in Kinesis.
pub const CONSUMER_NAME_BYTES_MAX: usize = 128;

/// Longest name of a space of stored values.
pub const STORE_SPACE_BYTES_MAX: usize = 128;

/// Longest key of a stored value.
pub const STORE_KEY_BYTES_MAX: usize = 256;

/// Largest stored value: a checkpoint is far smaller, and anything larger belongs in a stream.
pub const STORE_VALUE_BYTES_MAX: usize = 4 << 10;

/// Stored values of a node: twice as many as it can have shards, for two applications that read all of them.
pub const STORE_ITEMS_MAX: usize = 200_000;

/// Bytes of all stored values of a node with their names: every worker's copy of the catalogue names them.
pub const STORE_BYTES_MAX: usize = 64 << 20;

/// Longest name of the owner of a lease.
pub const LEASE_OWNER_BYTES_MAX: usize = 128;

/// With `durability = interval`: the longest time acknowledged bytes stay unsynced.
pub const SYNC_INTERVAL_US: u64 = 50_000;

/// A shard without writes for this long gets one pad block that says how much of it is durable, so that recovery can
/// tell later damage of the last frames from a write that never finished.
pub const QUIET_HINT_AFTER_US: u64 = 100_000;

/// A get or a push hands out this much at most, one frame more than that only if it is the first.
pub const READ_BYTES_MAX: u32 = 4 << 20;

/// A GetRecords hands out this much at most, as in Kinesis: 10 MiB.
pub const GET_RECORDS_BYTES_MAX: u32 = 10 << 20;

/// Records that one get hands out at most in a stream with `limits = aws`, in whole frames and at least one.
pub const AWS_GET_RECORDS_MAX: u64 = 10_000;

/// A get waits this long for records at most.
pub const GET_WAIT_MS_MAX: u32 = 20_000;

/// An empty GetRecords of the HTTP front end waits this long for a commit at most, whatever its stream is set to.
pub const GET_RECORDS_WAIT_MS_MAX: u32 = GET_WAIT_MS_MAX;

/// Credit that a subscription can hold at most, in bytes.
pub const SUBSCRIBE_CREDIT_BYTES_MAX: u32 = 64 << 20;

/// Fields of one message on the wire, bulk bytes apart. The largest of them, the answer to a keyed put of
/// [`PUT_KEYED_RECORDS_MAX`] records, takes a quarter of it.
pub const ARGS_BYTES_MAX: u32 = 1 << 20;

/// Bytes of frames behind one answer or push: a full read and one largest frame with its header on top.
pub const ANSWER_BODY_BYTES_MAX: u32 = READ_BYTES_MAX + FRAME_BODY_BYTES_MAX + 128;

/// Records in one put by partition key: each is routed and answered by itself, so its work is per record.
pub const PUT_KEYED_RECORDS_MAX: u32 = 10_000;

/// Streams or consumers in one page of a listing.
pub const PAGE_MAX: u32 = 1_000;

/// Shards in one page of a description: all the open ones of any stream, so that one answer is a whole map to route by. It
/// takes three quarters of [`ARGS_BYTES_MAX`].
pub const SHARD_PAGE_MAX: u32 = SHARDS_PER_STREAM_MAX;

/// Operations in the plan of one scaling: at most every inner boundary of the old shards and of the new ones.
pub const SCALE_STEPS_MAX: usize = 2 * SHARDS_PER_STREAM_MAX as usize;

/// Longest key of a tag: 128 characters, as in Kinesis, of 4 bytes of UTF-8.
pub const TAG_KEY_BYTES_MAX: usize = TAG_KEY_CHARS_MAX * 4;

/// Longest value of a tag: 256 characters, as in Kinesis, of 4 bytes of UTF-8.
pub const TAG_VALUE_BYTES_MAX: usize = TAG_VALUE_CHARS_MAX * 4;

/// Longest name of an encryption key, as in Kinesis.
pub const ENCRYPTION_KEY_BYTES_MAX: usize = KMS_KEY_ID_BYTES_MAX;

/// Longest name of the holder of a lease.
pub const STORE_OWNER_BYTES_MAX: usize = LEASE_OWNER_BYTES_MAX;

/// Items in one page of the store: that many of the largest fit the args of one message.
pub const STORE_PAGE_MAX: u32 = 200;

/// Leases in one renewal.
pub const LEASE_RENEWALS_MAX: usize = 1_000;

/// Shortest time a lease can be asked for. Any shorter, and a pause of a healthy holder would end it.
pub const LEASE_TTL_MS_MIN: u32 = 1_000;

/// Longest time a lease can be asked for: how long the shards of a dead member may stay unread.
pub const LEASE_TTL_MS_MAX: u32 = 600_000;

/// Values in one answer with statistics.
pub const STATS_MAX: usize = 4_096;

/// Longest name of a statistic.
pub const STAT_NAME_BYTES_MAX: usize = 96;

/// Longest name or version text in a handshake.
pub const HELLO_TEXT_BYTES_MAX: usize = 128;

/// Longest authentication token.
pub const AUTH_TOKEN_BYTES_MAX: usize = 256;

/// Longest explanation in an error answer.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 1_024;

/// Workers of one node.
pub const WORKERS_MAX: usize = 1_024;

/// Requests of one connection that may be unanswered at a time; further ones wait in the socket.
pub const IN_FLIGHT_PER_CONNECTION_MAX: usize = 4096;

/// Subscriptions on one connection.
pub const SUBSCRIPTIONS_PER_CONNECTION_MAX: usize = 1024;

/// Answers that one connection may have waiting for a client that does not read, in bytes. Beyond it the node stops
/// reading that connection's requests.
pub const OUTBOX_BYTES_MAX: usize = 8 << 20;

/// Answers that all connections of one worker may have waiting for clients that read slowly, in bytes, unless the operator sets
/// another bound. Beyond it those who have been slow for longest are disconnected.
pub const WORKER_ANSWERS_BYTES_MAX: usize = 4 * (WORKER_MEMORY_BYTES / MEMORY_PARTS);

/// A client that takes nearly nothing for this long, while much waits for it, counts as slow.
pub const SLOW_CLIENT_US: u64 = 1_000_000;

/// Connections per worker, where the limit on open files allows that many; one more is refused with an error.
pub const CONNECTIONS_PER_WORKER_MAX: usize = 10_000;

/// Segment files that a worker keeps open, where the limit on open files allows that many: a shard that is written to needs
/// one, and more save cold readers an open.
pub const OPEN_FILES_PER_WORKER_MAX: usize = 1024;

/// Bytes that all connections of a worker together may hold of requests that are still arriving, unless the operator sets the memory.
pub const RECEIVE_BUDGET_BYTES: usize = 4 * (WORKER_MEMORY_BYTES / MEMORY_PARTS);

/// A request that has begun must arrive in full within this time.
pub const REQUEST_ARRIVAL_US_MAX: u64 = 30_000_000;

/// A connection must complete its handshake within this time.
pub const HANDSHAKE_US_MAX: u64 = 10_000_000;

/// A client that takes none of its answers for this long is disconnected.
pub const SEND_STALL_US_MAX: u64 = 60_000_000;

/// Largest body of an HTTP request, before and after decompression. `PutRecords` of 10 MiB is 13.4 MiB of JSON; more than this is
/// answered with 413.
pub const HTTP_BODY_BYTES_MAX: usize = 16 << 20;

/// Largest head of an HTTP request. A signed one is under 1 KiB; session tokens and signed queries add some KiB.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;

/// Requests up to this size need none of the budget for arriving ones; an HTTP connection has so much of its own.
pub const HTTP_FREE_BYTES: usize = 64 << 10;

/// Bytes of an HTTP/1.1 connection that were received and not looked at. It is also what an idle connection keeps of its
/// buffer in the worst case; one that never sent much keeps 8 KiB.
pub const HTTP_READ_BYTES_MAX: usize = 64 << 10;

/// Bytes of one HTTP/2 stream that a client may send before we have taken them in: at 1 ms of round trip that is 1 GB/s, so
/// that the largest body is not held up by the window.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// The same for all streams of a connection together: what a connection holds at most of bodies that wait for the budget.
/// Twice the window of a stream, so that one that waits does not hold up the others.
pub const HTTP2_WINDOW_BYTES: u32 = 2 << 20;

/// Largest frame of HTTP/2 that we take. Clients that make use of it (Java, Go and Rust do, Node does not) send a large body in few
/// frames, each of which costs some microseconds.
pub const HTTP2_FRAME_BYTES_MAX: u32 = 256 << 10;

/// Streams of one HTTP/2 connection. A consumer of the largest stream may read every shard through one connection, a stream
/// each, for minutes. An idle one costs about 5 KiB.
pub const HTTP2_STREAMS_MAX: u32 = SHARDS_PER_STREAM_MAX;

/// Requests that one worker answers at a time over HTTP, streams of events among them; one more is answered with 503. With heads
/// of [`HTTP_HEAD_BYTES_MAX`] that is 1.6 GiB in the worst case, with those of the SDKs 250 MiB.
pub const HTTP_REQUESTS_PER_WORKER_MAX: usize = 50_000;

/// An HTTP connection without a request is closed after this long. Longer than clients keep idle connections, so that a
/// client hardly ever meets a closing one; still, what vanished without a word is forgotten.
pub const HTTP_IDLE_US_MAX: u64 = 900_000_000;

/// How long a client that is still sending may take to read why its connection ends.
pub const HTTP_LINGER_US: u64 = 1_000_000;

/// Tail frames that a worker keeps in memory for readers, all shards together, unless the operator sets another bound.
pub const TAIL_CACHE_BYTES: usize = 2 * (WORKER_MEMORY_BYTES / MEMORY_PARTS);

/// One cold read from disk.
pub const COLD_READ_BYTES: usize = 512 << 10;

/// Bytes of cold reads that a worker has under way at a time, unless the operator sets the memory.
pub const COLD_READS_BYTES_MAX: usize = WORKER_MEMORY_BYTES / MEMORY_PARTS;

/// Messages on their way from one worker to another.
pub const MAILBOX_MESSAGES_MAX: usize = 1024;

/// Bytes of requests and answers that one worker has under way at another.
pub const FORWARD_BYTES_MAX: usize = 64 << 20;

const _: () = {
    assert!(FRAME_BODY_BYTES_MAX as usize > RECORD_BYTES_MAX as usize + KEY_BYTES_MAX + 8);
    assert!(SHARD_UNSYNCED_BYTES_MAX > FRAME_BODY_BYTES_MAX as usize + 2 * BLOCK_BYTES);
    assert!(FLUSH_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
    assert!(SEGMENT_BYTES_MIN.is_multiple_of(BLOCK_BYTES as u64));
    assert!(SEGMENT_BYTES_MAX.is_multiple_of(SEGMENT_BYTES_MIN));
    assert!(MERGE_BODY_BYTES_MAX <= MERGED_FRAME_BYTES_MAX);
    assert!(KEY_BYTES_MAX <= u16::MAX as usize);
    assert!(KEY_BYTES_MAX <= RECORD_BYTES_MIN as usize);
    assert!(PRODUCER_WINDOW <= u8::MAX as usize);
    assert!(SHARDS_PER_STREAM_MAX as usize <= SHARDS_MAX);
    assert!(POLICY_BYTES_MAX <= u16::MAX as usize);
    assert!(STORE_VALUE_BYTES_MAX <= u16::MAX as usize);
    assert!(HTTP_BODY_BYTES_MAX > RECORD_BYTES_MAX as usize / 3 * 4 + (1 << 20));
    assert!(HTTP_BODY_BYTES_MAX <= 4 * MEMORY_PART_BYTES_MIN / 4);
    assert!(SHARD_UNSYNCED_BYTES_MAX <= 2 * MEMORY_PART_BYTES_MIN);
    assert!(FRAME_BODY_BYTES_MAX as usize + COLD_READ_BYTES + 3 * BLOCK_BYTES <= MEMORY_PART_BYTES_MIN);
    assert!(WORKER_MEMORY_BYTES >= MEMORY_PARTS * MEMORY_PART_BYTES_MIN);
    assert!(HTTP2_WINDOW_BYTES >= HTTP2_STREAM_WINDOW_BYTES);
    assert!(HTTP2_FRAME_BYTES_MAX < HTTP2_STREAM_WINDOW_BYTES);
    assert!(HTTP_READ_BYTES_MAX > HTTP_HEAD_BYTES_MAX);
};
