/* Sends one message as a datagram, and knows that it arrived: as small as a microcontroller wants it.
   tenfour_datagram IPV4 PORT SEQUENCE TEXT. The stream is fixed here; a device keeps its sequence over a restart.
   Exit 0: stored. 1: refused. 75: no receipt; repeat with the same sequence. docs/protocol.md, section 17. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

static const uint8_t HEAD[8] = {'1', '0', '-', '4', 0x00, 0xff, 1, 0}; /* magic, version 1, a request */
static const uint8_t STREAM[16] = "this-device-0001";                  /* 16 bytes that nobody else has */

static size_t request(uint8_t *out, uint64_t sequence, const char *text, size_t length) {
    size_t padding = length < 9 ? 9 - length : 0; /* a receipt is never longer than its request */
    memcpy(out, HEAD, 8);
    memcpy(out + 8, STREAM, 16);
    for (int i = 0; i < 8; i++) out[24 + i] = (uint8_t)(sequence >> (56 - 8 * i));
    out[32] = 5; /* length of "inbox" */
    out[33] = 0;
    out[34] = 0;
    out[35] = (uint8_t)padding;
    memcpy(out + 36, "inbox", 5);
    memset(out + 41, 0, padding);
    memcpy(out + 41 + padding, text, length);
    return 41 + padding + length;
}

int main(int argc, char **argv) {
    uint8_t out[1024], in[256];
    if (argc != 5 || strlen(argv[4]) > 900) return 2;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof to) != 0) return 69;
    size_t length = request(out, strtoull(argv[3], NULL, 10), argv[4], strlen(argv[4]));
    for (int attempt = 0; attempt < 6; attempt++) { /* waits 0.2, 0.4 ... 6.4 s */
        struct timeval wait = {.tv_sec = (200L << attempt) / 1000, .tv_usec = (200L << attempt) % 1000 * 1000};
        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        send(sock, out, length, 0);
        ssize_t got = recv(sock, in, sizeof in, 0);
        if (got < 45 || memcmp(in, HEAD, 7) != 0 || in[7] != 1 || memcmp(in + 8, out + 8, 24) != 0) continue;
        if (in[32] > 1) return 1;
        uint64_t offset = 0;
        for (int i = 0; i < 8; i++) offset = offset << 8 | in[36 + i];
        printf("10-4 inbox %llu%s\n", (unsigned long long)offset, in[32] ? " duplicate" : "");
        return 0;
    }
    return 75;
}
