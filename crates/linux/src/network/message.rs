//! Netlink messages as bytes: one writer and one reader for rtnetlink, nf_tables and conntrack alike.
//!
//! All three speak the same format, a header and a tree of length-type-value attributes, so one small writer replaces
//! three libraries with three vocabularies. What the numbers mean is known by the files that build the messages; this
//! one only keeps lengths and alignment right. See `linux/netlink.h`.

/// Asks for a final answer even when all went well.
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REQUEST: u16 = 0x1;
/// Marks an attribute as a container of attributes; nf_tables insists on it nowhere, `nft` and `ip` set it everywhere.
const NLA_F_NESTED: u16 = 0x8000;
/// The bits of an attribute's type that are its number; the upper two are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

const HEADER_LENGTH: usize = 16;

/// One request under construction.
#[derive(Debug, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of a type with its flags besides `NLM_F_REQUEST`, followed by the fixed header of its family
    /// (`ifinfomsg`, `nfgenmsg`, …).
    pub(super) fn new(kind: u16, flags: u16, family_header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(family_header);
        let mut message = Self { bytes };
        message.pad();
        message
    }

    /// An attribute with a value as it is.
    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// An attribute with a number in the machine's byte order, as rtnetlink wants it.
    pub(super) fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// An attribute with a number in network byte order, as nf_tables and conntrack want it.
    pub(super) fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// An attribute with a text that ends in a zero byte.
    pub(super) fn text(mut self, kind: u16, value: &str) -> Self {
        let at = self.open(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.close(at);
        self
    }

    /// An attribute that contains what `fill` writes.
    pub(super) fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let at = self.open(kind | NLA_F_NESTED);
        let mut filled = fill(self);
        filled.close(at);
        filled
    }

    /// Bytes without an attribute header: the fixed header that some nested attributes begin with.
    pub(super) fn raw(mut self, value: &[u8]) -> Self {
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// Asks for an acknowledgement.
    pub(super) fn acknowledged(mut self) -> Self {
        let flags = u16_at(&self.bytes, 6).unwrap_or_default() | NLM_F_ACK;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    pub(super) fn wants_acknowledgement(&self) -> bool {
        u16_at(&self.bytes, 6).is_some_and(|flags| flags & NLM_F_ACK != 0)
    }

    /// Appends the finished message to what is going to be sent.
    pub(super) fn write_to(&self, buffer: &mut Vec<u8>, sequence: u32) {
        let start = buffer.len();
        buffer.extend_from_slice(&self.bytes);
        // A message is a few kilobytes; rule sets are sent as many messages and elements in portions.
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        buffer[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let at = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(at);
    }

    fn open(&mut self, kind: u16) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        at
    }

    /// Writes the length of the attribute that began at `at`. The padding behind it is not part of it.
    fn close(&mut self, at: usize) {
        let length = self.bytes.len() - at;
        assert!(
            length <= usize::from(u16::MAX),
            "netlink attribute of {length} bytes; portions are to keep it below 64 KiB"
        );
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.bytes[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// One message from the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

/// The messages in one datagram. Ends at the first one that is cut off or not well formed.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let payload = datagram.get(HEADER_LENGTH..length)?;
        let received = Received {
            kind: u16_at(datagram, 4)?,
            flags: u16_at(datagram, 6)?,
            sequence: u32_at(datagram, 8)?,
            payload,
        };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(received)
    })
}

/// The attributes in a byte string, by number and value.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

/// The value of the first attribute with a number.
pub(super) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// The value of an attribute within attributes.
pub(super) fn attribute_at<'a>(bytes: &'a [u8], path: &[u16]) -> Option<&'a [u8]> {
    path.iter()
        .try_fold(bytes, |inner, kind| attribute(inner, *kind))
}

/// A text attribute, without the zero byte at its end.
pub(super) fn text(value: &[u8]) -> String {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths exclude padding, nesting closes behind its content, and what was written can be read back.
    #[test]
    fn attributes_survive_a_round_trip() {
        let message = Message::new(16, 0, &[0; 3])
            .text(3, "eth0")
            .nested(18, |link| link.u32(1, 7).be32(2, 1).bytes(9, &[]))
            .acknowledged();
        let mut buffer = Vec::new();
        message.write_to(&mut buffer, 42);
        message.write_to(&mut buffer, 43);

        let all: Vec<_> = messages(&buffer).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].kind, all[0].flags, all[0].sequence), (16, 5, 42));
        let body = &all[1].payload[4..];
        assert_eq!(text(attribute(body, 3).unwrap()), "eth0");
        assert_eq!(attribute_at(body, &[18, 1]), Some(&7u32.to_ne_bytes()[..]));
        assert_eq!(attribute_at(body, &[18, 2]), Some(&[0u8, 0, 0, 1][..]));
        assert_eq!(attribute_at(body, &[18, 9]), Some(&[][..]));
        assert_eq!(attribute_at(body, &[18, 5]), None);
    }

    /// Cut-off input ends the iteration instead of reading past the end.
    #[test]
    fn cut_off_input_is_not_read() {
        let mut buffer = Vec::new();
        Message::new(16, 0, &[0; 4])
            .text(3, "eth0")
            .write_to(&mut buffer, 1);
        for length in 0..buffer.len() {
            assert_eq!(messages(&buffer[..length]).count(), 0, "{length}");
        }
        // A length below the header's own size must not loop for ever.
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 5]).count(), 0);
    }
}
