//! Files with holes: the map of where the data in an archive belongs.
//!
//! Four encodings exist: GNU's old one and three that GNU tar writes with pax. All end in one checked
//! [`SparseMap`].

use super::archive::{ArchiveError, BLOCK, number};
use super::pax::{PaxRecords, parse_decimal};
use crate::limits::MAX_SPARSE_SEGMENTS;

/// A piece of data: where it starts in the file and how long it is, in bytes.
pub(super) type Segment = (u64, u64);

/// Which parts of a file have data; the rest are holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SparseMap {
    /// Length of the file with its holes, in bytes.
    pub(crate) real_size: u64,
    /// In ascending order, without overlap, within the file.
    pub(crate) segments: Vec<Segment>,
}

impl SparseMap {
    pub(super) fn new(
        real_size: u64,
        segments: Vec<Segment>,
        data_size: u64,
    ) -> Result<Self, ArchiveError> {
        check_count(segments.len())?;
        let mut end = 0;
        let mut sum = 0_u64;
        for (offset, length) in &segments {
            let segment_end = offset
                .checked_add(*length)
                .filter(|segment_end| *segment_end <= real_size);
            if *offset < end || segment_end.is_none() {
                return Err(MALFORMED);
            }
            end = offset + length;
            sum += length;
        }
        if sum != data_size {
            return Err(MALFORMED);
        }
        Ok(Self {
            real_size,
            segments,
        })
    }
}

const MALFORMED: ArchiveError = ArchiveError::Malformed("the map of a sparse file cannot be right");

pub(super) fn check_count(count: usize) -> Result<(), ArchiveError> {
    if count > MAX_SPARSE_SEGMENTS {
        return Err(ArchiveError::Malformed("a sparse file has too many pieces"));
    }
    Ok(())
}

/// Pairs of twelve-byte numbers, as old GNU headers hold them; an empty pair ends the list.
pub(super) fn gnu_segments(fields: &[u8]) -> Result<Vec<Segment>, ArchiveError> {
    let pairs = fields.chunks_exact(24).take_while(|pair| pair[0] != 0);
    pairs
        .map(|pair| Ok((number(&pair[..12])?, number(&pair[12..])?)))
        .collect()
}

/// What pax records say about a sparse file.
pub(super) struct Description {
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: u64,
    /// `None` if the map stands in front of the data.
    pub(super) segments: Option<Vec<Segment>>,
}

pub(super) fn from_pax(pax: &mut PaxRecords) -> Result<Option<Description>, ArchiveError> {
    let major = pax.number("GNU.sparse.major")?;
    let minor = pax.number("GNU.sparse.minor")?;
    let name = pax.take("GNU.sparse.name");
    match (major, minor) {
        (Some(1), Some(0)) => {
            let real_size = pax.number("GNU.sparse.realsize")?.ok_or(MALFORMED)?;
            Ok(Some(Description {
                name,
                real_size,
                segments: None,
            }))
        }
        (None, None) | (Some(0), Some(0 | 1)) => {
            let numbers: Vec<u64> = match pax.take("GNU.sparse.map") {
                Some(map) => {
                    let parts = map.split(|byte| *byte == b',');
                    parts
                        .map(|part| parse_decimal(part).ok_or(MALFORMED))
                        .collect::<Result<_, _>>()?
                }
                None => {
                    let pieces = pax.iter().filter(|(key, _)| {
                        matches!(*key, "GNU.sparse.offset" | "GNU.sparse.numbytes")
                    });
                    pieces
                        .map(|(_, value)| parse_decimal(value).ok_or(MALFORMED))
                        .collect::<Result<_, _>>()?
                }
            };
            let Some(real_size) = pax.number("GNU.sparse.size")? else {
                return Ok(None);
            };
            if !numbers.len().is_multiple_of(2) {
                return Err(MALFORMED);
            }
            let segments = numbers
                .chunks_exact(2)
                .map(|pair| (pair[0], pair[1]))
                .collect();
            Ok(Some(Description {
                name,
                real_size,
                segments: Some(segments),
            }))
        }
        _ => Err(ArchiveError::Malformed(
            "a sparse file in an unknown format",
        )),
    }
}

/// The map of format 1.0: decimal numbers, one per line, first their count in pairs, padded to whole blocks.
pub(super) fn read_leading_map(
    mut next_block: impl FnMut() -> Result<[u8; BLOCK], ArchiveError>,
) -> Result<Vec<Segment>, ArchiveError> {
    let mut block = next_block()?;
    let mut position = 0;
    let mut next_number = || -> Result<u64, ArchiveError> {
        let mut digits = Vec::new();
        loop {
            if position == BLOCK {
                block = next_block()?;
                position = 0;
            }
            let byte = block[position];
            position += 1;
            if byte == b'\n' {
                return parse_decimal(&digits).ok_or(MALFORMED);
            }
            if digits.len() == 20 {
                return Err(MALFORMED);
            }
            digits.push(byte);
        }
    };
    let count = usize::try_from(next_number()?).map_err(|_| MALFORMED)?;
    check_count(count)?;
    (0..count)
        .map(|_| Ok((next_number()?, next_number()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_contradict_themselves_are_refused() {
        assert!(SparseMap::new(100, vec![(0, 10), (50, 50)], 60).is_ok());
        for (real_size, segments, data_size) in [
            (100, vec![(0, 10), (50, 51)], 61),
            (100, vec![(50, 10), (0, 10)], 20),
            (100, vec![(0, 10), (5, 10)], 20),
            (100, vec![(0, 10)], 11),
            (100, vec![(u64::MAX, 2)], 2),
        ] {
            assert!(
                SparseMap::new(real_size, segments.clone(), data_size).is_err(),
                "{segments:?}"
            );
        }
    }

    #[test]
    fn a_leading_map_may_span_blocks() {
        let mut text = "100\n".to_owned();
        for index in 0..100 {
            text.push_str(&format!("{}\n1\n", index * 1000));
        }
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        let mut blocks = bytes.chunks_exact(BLOCK);
        let segments = read_leading_map(|| Ok(blocks.next().unwrap().try_into().unwrap())).unwrap();
        assert_eq!(segments.len(), 100);
        assert_eq!(segments[99], (99_000, 1));
        assert!(blocks.next().is_none());
    }
}
