module modash-example

go 1.19
