//! WAL, snapshot and database files, built as etcd writes them.

use crate::datadir::snap::SnapId;
use crate::decide::Identity;

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    [
        varint(field << 3 | 2),
        varint(value.len() as u64),
        value.to_vec(),
    ]
    .concat()
}

/// One WAL file after the other; the checksum goes on from file to file.
#[derive(Clone, Default)]
pub struct Wal {
    crc: u32,
    pub bytes: Vec<u8>,
    /// Where each record begins.
    pub starts: Vec<usize>,
}

impl Wal {
    /// The head of a file: checksum and metadata.
    pub fn file(&self, identity: Identity) -> Wal {
        let mut wal = Wal {
            crc: self.crc,
            ..Wal::default()
        };
        let head = [number(1, 4), number(2, self.crc.into())].concat();
        wal.frame(&head);
        let (member, cluster) = (identity.member.0, identity.cluster.0);
        wal.record(1, &[number(1, member), number(2, cluster)].concat());
        wal
    }

    /// A file as `Create` leaves it, with a commit index of 3 behind it.
    pub fn new(identity: Identity) -> Wal {
        let mut wal = Wal::default().file(identity);
        wal.record(5, &[number(1, 0), number(2, 0)].concat());
        wal.entry(b"one entry");
        wal.state(3);
        wal
    }

    pub fn entry(&mut self, data: &[u8]) {
        self.record(
            2,
            &[number(1, 0), number(2, 2), number(3, 3), bytes(4, data)].concat(),
        );
    }

    /// The same, of this term at this index.
    pub fn entry_at(&mut self, term: u64, index: u64) {
        self.entry_of(term, index, b"write");
    }

    /// The same, with this data; 3.7 writes none of the fields that are zero.
    pub fn entry_of(&mut self, term: u64, index: u64, data: &[u8]) {
        let head = [number(1, 0), number(2, term), number(3, index)].concat();
        let data = match data {
            [] => Vec::new(),
            data => bytes(4, data),
        };
        self.record(2, &[head, data].concat());
    }

    /// A request of the v2 API.
    pub fn old_request(&mut self, term: u64, index: u64, method: &str, path: &str) {
        let request = [
            number(1, 7),
            bytes(2, method.as_bytes()),
            bytes(3, path.as_bytes()),
        ];
        self.entry_of(term, index, &request.concat());
    }

    /// The frame of a record whose length is `frame`, and its head, which claims so much; nothing behind it.
    pub fn begin(&mut self, claims: u64, frame: u64) {
        let head = [number(1, 2), number(2, 0x1234_5678)].concat();
        // The tag of the data, and its length, which takes four bytes if it is as large as that.
        let mut data = claims.saturating_sub(head.len() as u64 + 5);
        self.bytes.extend(frame.to_le_bytes());
        self.bytes.extend(head);
        self.bytes.push(3 << 3 | 2);
        for more in [0x80, 0x80, 0x80, 0] {
            self.bytes.push((data & 0x7f) as u8 | more);
            data >>= 7;
        }
    }

    pub fn state(&mut self, commit: u64) {
        self.record(3, &[number(1, 2), number(2, 7), number(3, commit)].concat());
    }

    pub fn snapshot(&mut self, id: SnapId) {
        self.record(5, &[number(1, id.index), number(2, id.term)].concat());
    }

    pub fn record(&mut self, kind: u64, data: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, data);
        let record = [number(1, kind), number(2, self.crc.into()), bytes(3, data)].concat();
        self.frame(&record);
    }

    fn frame(&mut self, record: &[u8]) {
        self.starts.push(self.bytes.len());
        let padding = (8 - record.len() % 8) % 8;
        let mut length = record.len() as u64;
        if padding > 0 {
            length |= (0x80 | padding as u64) << 56;
        }
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(record);
        self.bytes.extend(vec![0; padding]);
    }

    /// The file with this many zeros behind it, as etcd preallocates it.
    pub fn preallocated(&self, zeros: usize) -> Vec<u8> {
        [self.bytes.clone(), vec![0; zeros]].concat()
    }
}

/// A `.snap` file.
pub fn snap(id: SnapId) -> Vec<u8> {
    let metadata = [
        bytes(1, &number(1, 7)),
        number(2, id.index),
        number(3, id.term),
    ]
    .concat();
    let data = [bytes(1, b"the v2 store"), bytes(2, &metadata)].concat();
    [number(1, crc32c::crc32c(&data).into()), bytes(2, &data)].concat()
}

/// A database with a bucket of these keys.
pub fn db(keys: &[&[u8]]) -> Vec<u8> {
    let elements: Vec<_> = (keys.iter())
        .map(|key| (0, key.to_vec(), b"value".to_vec()))
        .collect();
    bucket(b"bucket", &elements)
}

/// A database that holds the log up to an index.
pub fn db_at(index: u64) -> Vec<u8> {
    let value = index.to_be_bytes().to_vec();
    bucket(b"meta", &[(0, b"consistent_index".to_vec(), value)])
}

/// The same, written for a version of etcd.
pub fn db_of_version_at(version: &[u8], index: u64) -> Vec<u8> {
    let index = index.to_be_bytes().to_vec();
    let index = (0, b"consistent_index".to_vec(), index);
    let version = (0, b"storageVersion".to_vec(), version.to_vec());
    bucket(b"meta", &[index, version])
}

/// A database that says for which version of etcd it was written.
pub fn db_of_version(version: &[u8]) -> Vec<u8> {
    bucket(
        b"meta",
        &[(0, b"storageVersion".to_vec(), version.to_vec())],
    )
}

/// A bucket's name, its keys and their values.
pub type Bucket<'a> = (&'a [u8], &'a [(&'a str, &'a str)]);

/// A database with these buckets.
pub fn db_with(buckets: &[Bucket]) -> Vec<u8> {
    let element =
        |(key, value): &(&str, &str)| (0, key.as_bytes().to_vec(), value.as_bytes().to_vec());
    let all: Vec<_> = (buckets.iter())
        .map(|(name, pairs)| (*name, pairs.iter().map(element).collect()))
        .collect();
    all_buckets(&all)
}

/// Flags, key and value.
type Element = (u32, Vec<u8>, Vec<u8>);

fn bucket(name: &[u8], elements: &[Element]) -> Vec<u8> {
    all_buckets(&[(name, elements.to_vec())])
}

/// Pages 0 and 1 are meta, from 2 on come the buckets', then the root.
fn all_buckets(buckets: &[(&[u8], Vec<Element>)]) -> Vec<u8> {
    let root = 2 + buckets.len() as u64;
    let mut pages = vec![meta(0, 4, root), meta(1, 5, root)];
    let mut names = Vec::new();
    for (id, (name, elements)) in (2..).zip(buckets) {
        pages.push(page(id, 2, elements));
        let value = [u64::to_le_bytes(id), 0u64.to_le_bytes()].concat();
        names.push((1, name.to_vec(), value));
    }
    pages.push(page(root, 2, &names));
    pages.concat()
}

fn meta(page: u64, txid: u64, root: u64) -> Vec<u8> {
    let mut meta = Vec::new();
    for number in [0xED0C_DAEDu32, 2, 4096, 0] {
        meta.extend(number.to_le_bytes());
    }
    for number in [root, 0, u64::MAX, root + 1, txid] {
        meta.extend(number.to_le_bytes());
    }
    let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    meta.extend(sum.to_le_bytes());
    whole(
        &[
            page.to_le_bytes().to_vec(),
            vec![4, 0, 0, 0, 0, 0, 0, 0],
            meta,
        ]
        .concat(),
    )
}

fn page(id: u64, flags: u16, elements: &[Element]) -> Vec<u8> {
    let mut page = id.to_le_bytes().to_vec();
    page.extend(flags.to_le_bytes());
    page.extend((elements.len() as u16).to_le_bytes());
    page.extend(0u32.to_le_bytes());
    let mut data = Vec::new();
    for (i, (flags, key, value)) in elements.iter().enumerate() {
        let pos = (elements.len() - i) * 16 + data.len();
        for number in [*flags, pos as u32, key.len() as u32, value.len() as u32] {
            page.extend(number.to_le_bytes());
        }
        data.extend([key.as_slice(), value.as_slice()].concat());
    }
    page.extend(data);
    whole(&page)
}

fn whole(bytes: &[u8]) -> Vec<u8> {
    let mut page = bytes.to_vec();
    page.resize(4096, 0);
    page
}
