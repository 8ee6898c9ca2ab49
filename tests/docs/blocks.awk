# awk -v out=FOLDER -f blocks.awk README.md: each fenced block as a file FOLDER/NN[.WORD...].LANGUAGE, where the words are those
# behind the language in the fence, '=' as '.': "```cpp plugin=hello" is 07.plugin.hello.cpp.
/^```/ && !inside {
  inside = 1
  info = substr($0, 4)
  count = split(info, word, " ")
  name = sprintf("%s/%02d", out, ++number)
  for (i = 2; i <= count; i++) name = name "." word[i]
  gsub(/=/, ".", name)
  name = name "." (count > 0 ? word[1] : "none")
  printf "" > name
  next
}
/^```/ { inside = 0; close(name); next }
inside { print > name }
END {
  if (inside) { print "README.md: a block is not closed" > "/dev/stderr"; exit 1 }
  if (number < 10) { print "README.md: only " number " blocks were found" > "/dev/stderr"; exit 1 }
}
