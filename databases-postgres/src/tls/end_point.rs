//! What a login is bound to: the hash of the server's certificate, `tls-server-end-point` of RFC 5929.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// The hash of `certificate` (DER) by the algorithm of its signature, where MD5 and SHA-1 become SHA-256. `None` where the
/// signature has no hash of its own (Ed25519) or names it elsewhere (RSA-PSS; servers before 16 do not bind to those
/// either): the login then goes on without channel binding.
///
/// <https://www.rfc-editor.org/rfc/rfc5929#section-4.1>
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let hash = hash_of(signature_algorithm(certificate)?)?;
    Some(digest(hash, certificate).as_ref().to_vec())
}

/// <https://www.rfc-editor.org/rfc/rfc8017#appendix-A.2.4>, <https://www.rfc-editor.org/rfc/rfc5758#section-3.2>
fn hash_of(oid: &[u8]) -> Option<&'static Algorithm> {
    const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    match (oid.strip_prefix(&RSA), oid.strip_prefix(&ECDSA)) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Some(&SHA256),
        (Some([12]), _) | (_, Some([3, 3])) => Some(&SHA384),
        (Some([13]), _) | (_, Some([3, 4])) => Some(&SHA512),
        _ => None,
    }
}

/// The object identifier of the algorithm that `certificate` is signed with:
/// SEQUENCE { what is signed, SEQUENCE { the identifier, … }, … }.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const IDENTIFIER: u8 = 0x06;
    let (fields, _) = element(certificate, SEQUENCE)?;
    let (_, behind) = element(fields, SEQUENCE)?;
    let (algorithm, _) = element(behind, SEQUENCE)?;
    Some(element(algorithm, IDENTIFIER)?.0)
}

/// The content of the DER element that `bytes` begins with, and what is behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // So many bytes of length follow; a certificate needs no more than three.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_with(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::new(["a".repeat(60)]).unwrap().self_signed(&key).unwrap();
        certificate.der().to_vec()
    }

    #[test]
    fn the_hash_is_the_signatures_own() {
        let certificate = signed_with(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(server_end_point(&certificate).unwrap(), digest(&SHA256, &certificate).as_ref());
        let certificate = signed_with(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(server_end_point(&certificate).unwrap(), digest(&SHA384, &certificate).as_ref());
        assert_eq!(server_end_point(&signed_with(&rcgen::PKCS_ED25519)), None);
    }

    #[test]
    fn rsa_and_old_hashes_are_known() {
        for (last, hash) in [
            (4, Some(&SHA256)),
            (5, Some(&SHA256)),
            (11, Some(&SHA256)),
            (12, Some(&SHA384)),
            (13, Some(&SHA512)),
            (10, None),
        ] {
            assert_eq!(hash_of(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last]), hash);
        }
        assert_eq!(hash_of(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]), Some(&SHA256));
    }

    #[test]
    fn what_is_no_certificate_has_no_hash() {
        let certificate = signed_with(&rcgen::PKCS_ECDSA_P256_SHA256);
        for end in 0..certificate.len() {
            assert_eq!(server_end_point(&certificate[..end]), None, "{end}");
        }
        assert_eq!(server_end_point(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
