//! An audit log made by hand, in memory or in a directory.

use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use uuid::Uuid;
use vestibule_chain::{
    ChainId, Checkpoint, Digest, Record, SegmentHead, SigningKey, append, canonical, layout, link, rfc3339, types,
};

/// A pair of Ed25519 keys in PEM, made with `openssl genpkey -algorithm ed25519` for tests alone.
#[derive(Clone, Copy, Debug)]
pub struct KeyPair {
    /// PKCS#8.
    pub private: &'static str,
    /// SubjectPublicKeyInfo.
    pub public: &'static str,
}

/// The key of the log.
pub const KEY: KeyPair = KeyPair {
    private: "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEICBwyTa3G+1CoqYZIHFqz4j3FeuXbKkkrgDTff7G58MI\n\
         -----END PRIVATE KEY-----\n",
    public: "-----BEGIN PUBLIC KEY-----\n\
         MCowBQYDK2VwAyEAl+bBypyloRxxdC/pw3i0pFbd3eSXg6t7Gbk9tfJxR94=\n\
         -----END PUBLIC KEY-----\n",
};

/// Another key.
pub const OTHER_KEY: KeyPair = KeyPair {
    private: "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEIBtPpu/s0dHZOi9BwN3LvbTjIZvUyxtQSt1p110n+pCo\n\
         -----END PRIVATE KEY-----\n",
    public: "-----BEGIN PUBLIC KEY-----\n\
         MCowBQYDK2VwAyEA9pt8WwXjSulyKEf3eToDZD/2z1UzfPZDW1C2vvhxNvU=\n\
         -----END PUBLIC KEY-----\n",
};

/// Writes records as the proxy does, a segment after the other.
#[derive(Debug)]
pub struct AuditLog {
    /// Which log.
    pub chain: ChainId,
    /// The bytes of each segment.
    pub segments: Vec<Vec<u8>>,
    /// What the next record will be.
    pub seq: u64,
    /// The hash of the last one.
    pub hash: Digest,
    /// The events of the checkpoints, as `checkpoints.jsonl` has them.
    pub checkpoints: Vec<Vec<u8>>,
    key: Option<SigningKey>,
}

impl AuditLog {
    /// A log with one segment and its head. Without a key its checkpoints are not signed.
    pub fn new(chain: u128, key: Option<KeyPair>) -> Self {
        let key = key.map(|key| SigningKey::from_pem(key.private.as_bytes()).expect("a key"));
        let mut log = Self {
            chain: ChainId(Uuid::from_u128(chain)),
            segments: Vec::new(),
            seq: 0,
            hash: Digest::ZERO,
            checkpoints: Vec::new(),
            key,
        };
        log.rotate(&[]);
        log
    }

    /// Begins a segment.
    pub fn rotate(&mut self, open: &[Uuid]) {
        let number = self.segments.len() as u64;
        self.segments.push(Vec::new());
        let head = SegmentHead { chain: self.chain, number, part: 0, open: open.to_vec(), broken_at: None };
        self.audit(types::SEGMENT, &head.to_metadata());
    }

    /// A record of the log itself.
    pub fn audit(&mut self, kind: &str, metadata: &Value) {
        self.event(kind, &json!({ "metadata": metadata, "resource": "log", "schema": 1 }));
    }

    /// A record of a request.
    pub fn request(&mut self, kind: &str, id: Uuid) {
        let data = json!({
            "action": "orders.post",
            "actor": { "id": "7f3a", "type": "user" },
            "metadata": { "method": "post" },
            "request_id": id.to_string(),
            "resource": "order:17",
            "route": "orders",
            "schema": 1,
        });
        self.event(kind, &data);
    }

    /// So many requests that were started and finished, two records each.
    pub fn requests(&mut self, count: u64) {
        for _ in 0..count {
            let id = Uuid::from_u128(u128::from(self.seq) << 64);
            self.request(types::REQUEST_STARTED, id);
            self.request(types::REQUEST_FINISHED, id);
        }
    }

    /// A checkpoint of everything so far.
    pub fn checkpoint(&mut self, is_final: bool) {
        let seq = self.seq - 1;
        let plain = Checkpoint { chain: self.chain, seq, hash: self.hash, records: seq + 1, is_final, signature: None };
        let checkpoint = match &self.key {
            Some(key) => plain.signed(key),
            None => plain,
        };
        self.audit(types::CHECKPOINT, &checkpoint.to_metadata());
        let line = self.tail().strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
        let event = Record::parse(line.expect("a line")).expect("a record").event.to_vec();
        self.checkpoints.push(event);
    }

    /// As a process that ends well leaves it.
    pub fn stop(&mut self) {
        self.event(types::PROCESS_STOPPED, &json!({ "action": "process.stopped" }));
        self.checkpoint(true);
    }

    /// Any event.
    pub fn event(&mut self, kind: &str, data: &Value) {
        let event = json!({
            "data": data,
            "datacontenttype": "application/json",
            "id": Uuid::from_u128(self.chain.0.as_u128() ^ u128::from(self.seq)).to_string(),
            "source": format!("urn:vestibule:{}", self.chain),
            "specversion": "1.0",
            "subject": "order:17",
            "time": rfc3339(1_795_341_791_482 + self.seq),
            "type": kind,
        });
        let mut bytes = Vec::new();
        canonical::value(&mut bytes, &event);
        self.append(&bytes);
    }

    /// The record of an event, whatever its bytes.
    pub fn append(&mut self, event: &[u8]) {
        let hash = link(self.chain, self.seq, self.hash, event);
        let record = Record { seq: self.seq, prev: self.hash, hash, event };
        append(self.segments.last_mut().expect("a segment"), &record);
        (self.seq, self.hash) = (self.seq + 1, hash);
    }

    /// The last segment.
    pub fn tail(&self) -> &[u8] {
        self.segments.last().expect("a segment")
    }

    /// Puts the files of the log where they belong.
    pub fn write(&self, dir: &Path) {
        for (number, bytes) in self.segments.iter().enumerate() {
            std::fs::write(dir.join(layout::segment_name(number as u64)), bytes).expect("a file");
        }
        let lines: Vec<u8> = self.checkpoints.iter().flat_map(|event| [&event[..], b"\n"].concat()).collect();
        std::fs::write(dir.join(layout::CHECKPOINTS), lines).expect("a file");
    }

    /// Appends to the files of the log what they lack, as the proxy does.
    pub fn grow(&self, dir: &Path) {
        for (number, bytes) in self.segments.iter().enumerate() {
            let path = dir.join(layout::segment_name(number as u64));
            let mut file = File::options().create(true).append(true).open(path).expect("a file");
            let written = file.metadata().expect("a size").len() as usize;
            file.write_all(&bytes[written..]).expect("space");
        }
    }

    /// Says how far a sink has come: up to the last record.
    pub fn write_cursor(&self, dir: &Path, sink: &str) {
        let cursor = json!({
            "segment": self.segments.len() - 1,
            "offset": self.tail().len(),
            "seq": self.seq - 1,
            "hash": self.hash.to_string(),
        });
        let cursors = dir.join(layout::CURSORS);
        std::fs::create_dir_all(&cursors).expect("a directory");
        std::fs::write(cursors.join(format!("{sink}.json")), cursor.to_string()).expect("a file");
    }
}
