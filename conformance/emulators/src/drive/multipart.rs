//! `multipart/related` bodies of two parts: what a program says of a file, and its bytes.

use bytes::Bytes;

/// One part: its type and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) content_type: String,
    pub(super) bytes: Bytes,
}

/// The parts of a body, or what is wrong with it.
pub(super) fn parts(content_type: &str, body: &Bytes) -> Result<Vec<Part>, String> {
    let boundary = boundary(content_type).ok_or("the type is not multipart/related with a boundary")?;
    let delimiter = format!("--{boundary}");
    let delimiter = delimiter.as_bytes();
    let start =
        if body.starts_with(delimiter) { 0 } else { find(body, 0, &line(delimiter)).ok_or("no part begins")? + 1 };
    let mut at = start + delimiter.len();
    // Python ends lines with a bare line feed; then a carriage return before a delimiter belongs to the content.
    let eol: &[u8] = if body[at..].starts_with(b"\r\n") { b"\r\n" } else { b"\n" };
    let end_of_part = [eol, delimiter].concat();
    let mut parts = Vec::new();
    while !body[at..].starts_with(b"--") {
        if !body[at..].starts_with(eol) {
            return Err("a delimiter does not end its line".to_owned());
        }
        // The line's end counts as the beginning of the headers, so that there may be none.
        let blank = [eol, eol].concat();
        let head_end = find(body, at, &blank).ok_or("the headers of a part don't end")?;
        let content = head_end + blank.len();
        let end = find(body, content.saturating_sub(eol.len()), &end_of_part).ok_or("a part does not end")?;
        let head = std::str::from_utf8(&body[at..head_end]).map_err(|_| "the headers of a part are no text")?;
        parts.push(Part { content_type: part_type(head)?, bytes: body.slice(content.min(end)..end.max(content)) });
        at = end + end_of_part.len();
    }
    Ok(parts)
}

fn line(delimiter: &[u8]) -> Vec<u8> {
    [b"\n", delimiter].concat()
}

fn find(body: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = from;
    while at + wanted.len() <= body.len() {
        at += body[at..].iter().position(|byte| *byte == first)?;
        if body[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn boundary(content_type: &str) -> Option<String> {
    let mut parameters = content_type.split(';');
    if !parameters.next()?.trim().eq_ignore_ascii_case("multipart/related") {
        return None;
    }
    let value = parameters.find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    Some(value.trim_matches('"').to_owned()).filter(|boundary| !boundary.is_empty())
}

/// What the headers of a part say of its type; an encoding other than none is refused.
fn part_type(head: &str) -> Result<String, String> {
    let mut content_type = "application/octet-stream".to_owned();
    for line in head.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or("a header of a part has no colon")?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-type" => value.clone_into(&mut content_type),
            "content-transfer-encoding" if matches!(value, "binary" | "8bit" | "7bit") => {}
            "content-transfer-encoding" => return Err(format!("content is not taken as {value}")),
            _ => {}
        }
    }
    Ok(content_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let parts = parts("multipart/related; boundary=\"b\"", &Bytes::copy_from_slice(body))?;
        Ok(parts.into_iter().map(|part| (part.content_type, part.bytes.to_vec())).collect())
    }

    #[test]
    fn both_kinds_of_line_ends_are_read_and_content_is_left_alone() {
        let json = ("application/json".to_owned(), b"{}".to_vec());
        let any = |bytes: &[u8]| ("a/b".to_owned(), bytes.to_vec());
        let crlf = b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\ncontent-type: a/b\r\n\r\n\r\n--c\r\n-\r\n--b--\r\n";
        assert_eq!(read(crlf).unwrap(), [json.clone(), any(b"\r\n--c\r\n-")]);
        let lf = b"--b\nContent-Type: application/json\nMIME-Version: 1.0\n\n{}\n--b\nContent-Type: a/b\nContent-Transfer-Encoding: binary\n\n\x00\xff\r\n--b--";
        assert_eq!(read(lf).unwrap(), [json, any(b"\x00\xff\r")]);
        let empty = b"--b\r\nContent-Type: a/b\r\n\r\n\r\n--b--";
        assert_eq!(read(empty).unwrap(), [any(b"")]);
    }

    #[test]
    fn what_is_no_multipart_body_is_refused() {
        for body in
            [&b""[..], b"--b", b"--b\r\n", b"--b\r\nContent-Type: a/b\r\n\r\nx", b"--bx\r\n\r\n\r\n--b--", b"hello"]
        {
            read(body).expect_err(&String::from_utf8_lossy(body));
        }
        read(b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n--b--").expect_err("an encoding");
        parts("multipart/mixed; boundary=b", &Bytes::from_static(b"--b--")).expect_err("another type");
        parts("multipart/related", &Bytes::from_static(b"--b--")).expect_err("no boundary");
    }
}
