# A create takes a sandbox that waited.
# shellcheck shell=bash

client
all() { find $(parents) -mindepth 1 -maxdepth 1 -name '*-*-*-*-*' | sort; }
before=$(all)
check "a warm pool" daytona warm-pool create bb --size 1
check "a sandbox waits in it" soon says '"currentSize": 1' daytona warm-pool list -f json
waiting=$(comm -13 <(echo "$before") <(all))
check "one with a group" [ -n "$waiting" ]
check "create" daytona create --snapshot bb --name warm
check "it is the one that waited" [ "$(group warm)" = "$waiting" ]
check "it works" says warm inside warm 'hostname'
check "no other sandbox is that one" [ "$(group a)" != "$waiting" ]
check "delete" sh -c 'daytona delete warm && daytona warm-pool delete bb'
