//! As much of SPDY/3.1 as a forwarded port needs: streams come in pairs, one for errors and one for data,
//! and data is given back in capitals.

use bytes::{Buf, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::node::Socket;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const PING: u16 = 6;
const FIN: u8 = 1;

pub async fn forward(mut socket: Socket) {
    let mut received = BytesMut::new();
    let mut replied = false;
    while let Some(Ok(message)) = socket.next().await {
        if !message.is_binary() {
            continue;
        }
        received.extend_from_slice(&message.into_data());
        while let Some((head, body)) = frame(&mut received) {
            let Some(answer) = react(head, &body, &mut replied) else {
                continue;
            };
            if socket.send(Message::binary(answer)).await.is_err() {
                return;
            }
        }
    }
}

/// The next frame, once it is whole: its first four bytes with its flags, and what follows.
fn frame(received: &mut BytesMut) -> Option<([u8; 5], BytesMut)> {
    let length = u32::from_be_bytes([0, *received.get(5)?, *received.get(6)?, *received.get(7)?]);
    if received.len() < 8 + length as usize {
        return None;
    }
    let head = [
        received[0],
        received[1],
        received[2],
        received[3],
        received[4],
    ];
    received.advance(8);
    Some((head, received.split_to(length as usize)))
}

fn react(head: [u8; 5], body: &[u8], replied: &mut bool) -> Option<Vec<u8>> {
    let [a, b, c, d, flags] = head;
    if a & 0x80 == 0 {
        let id = [a, b, c, d];
        return Some(data(id, &body.to_ascii_uppercase(), flags & FIN));
    }
    match u16::from_be_bytes([c, d]) {
        SYN_STREAM => {
            // No headers, compressed: zlib's own head once, then a block that is stored as it is, and an
            // empty one, at which readers take what came before it.
            let mut block = Vec::new();
            if !*replied {
                block.extend([0x78, 0x01]);
                *replied = true;
            }
            block.extend([0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0]);
            block.extend([0, 0, 0, 0xff, 0xff]);
            let mut reply = body[..4].to_vec();
            reply.extend(block);
            Some(control(SYN_REPLY, &reply))
        }
        PING => Some(control(PING, body)),
        _ => None,
    }
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80, 3];
    frame.extend(kind.to_be_bytes());
    frame.extend((body.len() as u32).to_be_bytes());
    frame.extend(body);
    frame
}

fn data(id: [u8; 4], body: &[u8], flags: u8) -> Vec<u8> {
    let mut frame = id.to_vec();
    let mut length = (body.len() as u32).to_be_bytes();
    length[0] = flags;
    frame.extend(length);
    frame.extend(body);
    frame
}
