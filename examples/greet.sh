cat /app/built
echo "$GREETING from $(id -un), whose root holds: $(echo /*)"
echo "a note by the writer" > /data/note
