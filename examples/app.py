import sys

print("python", sys.version.split()[0], "in a container")
