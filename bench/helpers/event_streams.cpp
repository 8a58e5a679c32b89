// Follows mailboxes by server-sent events, and only counts them.
//
//     event_streams PORT TOKEN MAILBOX COUNT [MAILBOX COUNT ...]
//
// Prints `ready` when every stream has begun; when stdin ends, one line of JSON with the number of events of each
// mailbox.

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

struct Stream {
    int sock;
    int mailbox;
    bool begun;
};

int open_stream(int port, const std::string &request) {
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(sock, reinterpret_cast<sockaddr *>(&address), sizeof address) < 0) return -1;
    if (send(sock, request.data(), request.size(), 0) != static_cast<ssize_t>(request.size())) return -1;
    return sock;
}

// An event has one line that begins with "id:"; one that is cut by the end of a read is missed, which is rare.
unsigned long long events_in(const char *data, size_t length) {
    unsigned long long count = 0;
    const char *end = data + length;
    while ((data = static_cast<const char *>(memmem(data, end - data, "\nid: ", 5)))) count++, data += 5;
    return count;
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    int port = std::atoi(argv[1]);
    int epoll = epoll_create1(0);
    std::vector<Stream> streams;
    int mailboxes = (argc - 3) / 2;
    for (int m = 0; m < mailboxes; m++) {
        std::string request = std::string("GET /v1/events?mailbox=") + argv[3 + 2 * m] +
                              " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + argv[2] + "\r\n\r\n";
        for (int n = std::atoi(argv[4 + 2 * m]); n > 0; n--) {
            int sock = open_stream(port, request);
            if (sock < 0) return 1;
            streams.push_back({sock, m, false});
        }
    }
    for (size_t n = 0; n < streams.size(); n++) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = n;
        epoll_ctl(epoll, EPOLL_CTL_ADD, streams[n].sock, &event);
    }
    epoll_event end{};
    end.events = EPOLLIN;
    end.data.u64 = streams.size();
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &end);
    std::vector<unsigned long long> counts(mailboxes);
    std::vector<char> buffer(256 << 10);
    size_t begun = 0;
    for (;;) {
        epoll_event ready[64];
        int count = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            size_t n = ready[i].data.u64;
            if (n == streams.size()) {
                std::printf("{\"events\": [");
                for (int m = 0; m < mailboxes; m++) std::printf("%s%llu", m ? ", " : "", counts[m]);
                std::printf("]}\n");
                return 0;
            }
            ssize_t length = read(streams[n].sock, buffer.data(), buffer.size());
            if (length <= 0) return 1;
            counts[streams[n].mailbox] += events_in(buffer.data(), length);
            if (!streams[n].begun && memmem(buffer.data(), length, ": tenfour", 9)) {
                streams[n].begun = true;
                if (++begun == streams.size()) std::printf("ready\n"), std::fflush(stdout);
            }
        }
    }
}
