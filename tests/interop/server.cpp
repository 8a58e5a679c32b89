// The recipe's server: one connection, a greeting, one read, print, close.
// usage: server PORT
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

static void die(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: server PORT\n");
        return 2;
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0) die("socket");
    int yes = 1;
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0) die("setsockopt");
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = INADDR_ANY;
    own.sin_port = htons(static_cast<uint16_t>(atoi(argv[1])));
    if (bind(listener, reinterpret_cast<sockaddr *>(&own), sizeof own) < 0) die("bind");
    if (listen(listener, 5) < 0) die("listen");
    socklen_t length = sizeof own;
    if (getsockname(listener, reinterpret_cast<sockaddr *>(&own), &length) < 0) die("getsockname");
    // Port 0 takes a free one; whoever started us wants to know which.
    printf("server: listening on port = %d\n", ntohs(own.sin_port));
    fflush(stdout);

    sockaddr_in peer{};
    length = sizeof peer;
    int connection = accept(listener, reinterpret_cast<sockaddr *>(&peer), &length);
    if (connection < 0) die("accept");
    printf("server: got connection from = %s and port = %d\n", inet_ntoa(peer.sin_addr), ntohs(peer.sin_port));
    const char *greeting = "You are connected!";
    if (write(connection, greeting, strlen(greeting)) < 0) die("write");
    char buffer[128];
    ssize_t count = read(connection, buffer, 127);
    if (count < 0) die("read");
    buffer[count] = '\0';
    printf("Got the message:%s\n", buffer);
    close(connection);
    close(listener);
    return 0;
}
