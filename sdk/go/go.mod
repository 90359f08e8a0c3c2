module howdah

go 1.24
