#!/bin/sh
# A handler: the body on stdin, what it is in the environment. Its stdout is the reply for whoever asked.
#
#     tenfour receive a/jobs --as worker --exec ./answer.sh      or: tenfour serve --exec ./answer.sh
#     tenfour ask a/jobs "disk"
set -u
read -r question
case $question in
disk) df -P / | awk 'NR == 2 { print $5, "used" }' ;;
load) cut -d ' ' -f 1 /proc/loadavg ;;
*)
    echo "unknown: $question (from $TENFOUR_MSG_SENDER, attempt $TENFOUR_MSG_ATTEMPT)"
    exit 2 # a reply too: `ask` ends with 2
    ;;
esac
